/**
 * @file The tokens of a tokenizer.json and their ids, checked before any list is sized by them: the vocabulary, the
 * added tokens and the merges.
 * Source: `BpeBuilder::build` and `AddedVocabulary::add_tokens` of https://github.com/huggingface/tokenizers 0.23.
 */

import { MAX_SIZES } from "../checkpoint/config/model-config-check.ts";
import { CusprunError } from "../errors.ts";
import { isJsonObject, type JsonObject, showValue } from "../json.ts";

/** Ids are below this: more than 15 times the largest vocabulary known. */
const MAX_ID = MAX_SIZES.vocabSize;

/** Flags of an added token. */
const FLAGS = ["single_word", "lstrip", "rstrip", "normalized", "special"] as const;

/** Ids of files that are checked already: half a million merges take a third of a second. */
const CHECKED = new WeakMap<JsonObject, TokenIds>();

/** Ids by text, those of added tokens among them. */
export type TokenIds = ReadonlyMap<string, number>;

/**
 * Reads and checks the ids of a BPE or Unigram tokenizer.
 * @param where the file or folder, for error messages.
 * @throws CusprunError `TOKENIZER_INVALID` for an id that is not a non-negative integer below `MAX_SIZES.vocabSize`,
 * two tokens with one id, a merge of tokens that do not exist, and an added token whose id is not the one that the
 * tokenizers library gives it.
 */
export function readTokenIds(json: JsonObject, where: string): TokenIds {
  const earlier = CHECKED.get(json);
  if (earlier !== undefined) return earlier;
  const { model } = json;
  if (!isJsonObject(model)) throw invalidTokenizer(where, "model", showValue(model), "an object");
  const ids = model["type"] === "Unigram" ? listedIds(model["vocab"], where) : namedIds(model["vocab"], where);
  if (model["type"] === "BPE") for (const pair of readMerges(model["merges"], where)) checkMerge(pair, ids, where);
  const checked = withAdded(ids, json["added_tokens"], where);
  CHECKED.set(json, checked);
  return checked;
}

function namedIds(vocab: unknown, where: string): Map<string, number> {
  if (!isJsonObject(vocab)) throw invalidTokenizer(where, "model.vocab", showValue(vocab), "the ids of all tokens");
  const ids = new Map<string, number>();
  const isTaken = new Uint8Array(MAX_ID);
  for (const [text, id] of Object.entries(vocab)) {
    if (!isId(id)) throw badId(where, `model.vocab[${showValue(text)}]`, id);
    if (isTaken[id] === 1) {
      const other = [...ids.keys()].find((token) => ids.get(token) === id);
      const found = `id ${id}, as of token ${showValue(other)}`;
      throw invalidTokenizer(where, `model.vocab[${showValue(text)}]`, found, "an id of its own");
    }
    isTaken[id] = 1;
    ids.set(text, id);
  }
  return ids;
}

function listedIds(vocab: unknown, where: string): Map<string, number> {
  if (!Array.isArray(vocab) || vocab.length === 0 || vocab.length > MAX_ID) {
    throw invalidTokenizer(where, "model.vocab", showValue(vocab), `a list of 1 to ${MAX_ID} tokens with their scores`);
  }
  const ids = new Map<string, number>();
  for (const [id, entry] of vocab.entries()) {
    const [text, score] = (Array.isArray(entry) ? entry : []) as unknown[];
    if (typeof text !== "string" || typeof score !== "number" || !Number.isFinite(score) || ids.has(text)) {
      throw invalidTokenizer(where, `model.vocab[${id}]`, showValue(entry), "a new token and its score");
    }
    ids.set(text, id);
  }
  return ids;
}

function isId(id: unknown): id is number {
  return typeof id === "number" && Number.isInteger(id) && id >= 0 && id < MAX_ID;
}

/**
 * The merges, which are pairs, or in older files two words separated by a space.
 * @throws CusprunError `TOKENIZER_INVALID`.
 */
export function readMerges(list: unknown, where: string): readonly (readonly [left: string, right: string])[] {
  if (!Array.isArray(list)) throw invalidTokenizer(where, "model.merges", showValue(list), "a list of merges");
  const areWords = typeof list[0] === "string";
  return list.map((merge: unknown, rank) => {
    const parts: unknown = areWords && typeof merge === "string" ? merge.split(" ") : merge;
    if (isPair(parts)) return parts;
    throw invalidTokenizer(where, `model.merges[${rank}]`, showValue(merge), "two tokens, in the form of the first merge");
  });
}

function isPair(parts: unknown): parts is readonly [string, string] {
  return Array.isArray(parts) && parts.length === 2 && typeof parts[0] === "string" && typeof parts[1] === "string";
}

function checkMerge([left, right]: readonly [string, string], ids: TokenIds, where: string): void {
  if (ids.has(left) && ids.has(right) && ids.has(left + right)) return;
  throw invalidTokenizer(
    where,
    "model.merges",
    `the merge ${showValue([left, right])}`,
    "two tokens of the vocabulary whose joined text is a token as well",
  );
}

/** The library ignores the written id of an added token: a known text has its id, a new one gets the next. */
function withAdded(ids: Map<string, number>, list: unknown, where: string): TokenIds {
  if (list === undefined || list === null) return ids;
  if (!Array.isArray(list)) throw invalidTokenizer(where, "added_tokens", showValue(list), "a list");
  const size = ids.size;
  let last = -1;
  for (const [index, entry] of (list as unknown[]).entries()) {
    const key = `added_tokens[${index}]`;
    if (!isJsonObject(entry) || typeof entry["content"] !== "string") {
      throw invalidTokenizer(where, key, showValue(entry), "an object with a string 'content'");
    }
    const { content, id } = entry;
    const flag = FLAGS.find((name) => entry[name] !== undefined && typeof entry[name] !== "boolean");
    if (flag !== undefined) throw invalidTokenizer(where, `${key}.${flag}`, showValue(entry[flag]), "true or false");
    if (!isId(id)) throw badId(where, `${key}.id`, id);
    if (content === "") continue;
    const expected = ids.get(content) ?? Math.max(size, last + 1);
    if (id !== expected) {
      const found = `id ${id} of ${showValue(content)}`;
      throw invalidTokenizer(where, `${key}.id`, found, `${expected}, the id that the tokenizers library gives this token`);
    }
    ids.set(content, id);
    last = Math.max(last, id);
  }
  return ids;
}

function badId(where: string, key: string, found: unknown): CusprunError {
  return invalidTokenizer(where, key, showValue(found), `an integer from 0 to ${MAX_ID - 1}`);
}

/** The error for a damaged tokenizer.json. */
export function invalidTokenizer(where: string, key: string, found: string, expected: string, cause?: unknown): CusprunError {
  return new CusprunError(
    "TOKENIZER_INVALID",
    {
      where: `${where}: tokenizer.json${key === "" ? "" : `: ${key}`}`,
      found,
      expected,
      remedy: "Download the model again, or save its fast tokenizer again with transformers (save_pretrained)",
    },
    { cause },
  );
}
