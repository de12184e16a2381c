/**
 * @file The BPE model of a tokenizer.json, checked, as GGUF lists it: one text and one type for every row of the embedding.
 */

import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { isJsonObject, showValue } from "../checkpoint/config-fields.ts";
import { TOKEN_TYPES } from "../checkpoint/gguf-vocabulary.ts";
import { CusprunError } from "../errors.ts";

/** Types of `tokenizer.ggml.token_type` that only writing needs. */
const UNUSED_TYPE = 5;
const BYTE_TYPE = 6;

/** A tokenizer as GGUF holds it. */
export interface BpeTokenizer {
  /** Bytes as characters (`gpt2`); otherwise SentencePiece-style with bytes to fall back to (`llama`). */
  readonly isByteLevel: boolean;
  /** Token texts by id; as many as the embedding has rows. */
  readonly tokens: readonly string[];
  /** Token types by id. */
  readonly types: readonly number[];
  readonly idOf: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [left: string, right: string])[];
  readonly ignoresMerges: boolean;
  /** `model.unk_token`. */
  readonly unknown: string | null;
}

/**
 * Reads and checks.
 * @param vocabSize rows of the embedding: ids that no token has become unused ones, since llama.cpp wants both to be as many.
 * @throws CusprunError `TOKENIZER_INVALID`, `TOKENIZER_UNSUPPORTED`.
 */
export function readBpe({ tokenizerJson }: TokenizerFiles, vocabSize: number, where: string): BpeTokenizer {
  const model = tokenizerJson["model"];
  if (!isJsonObject(model) || model["type"] !== "BPE") {
    throw unsupportedTokenizer(where, "model.type", isJsonObject(model) ? model["type"] : model, "BPE");
  }
  const isByteLevel = holdsByteLevel(tokenizerJson["pre_tokenizer"]);
  if (!isByteLevel && model["byte_fallback"] !== true) {
    throw unsupportedTokenizer(where, "model.byte_fallback", model["byte_fallback"], "true, or a byte-level pre-tokenizer");
  }
  const unknown = typeof model["unk_token"] === "string" ? model["unk_token"] : null;
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types: number[] = tokens.map(() => UNUSED_TYPE);
  const idOf = new Map<string, number>();
  const put = (text: string, id: unknown, type: number): void => {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw invalidTokenizer(
        where,
        `id ${showValue(id)} of token ${JSON.stringify(text)}`,
        `an id under ${vocabSize}, the rows of the embedding`,
      );
    }
    tokens[id] = text;
    types[id] = type;
    idOf.set(text, id);
  };
  if (!isJsonObject(model["vocab"])) throw invalidTokenizer(where, "no model.vocab", "the ids of all tokens");
  for (const [text, id] of Object.entries(model["vocab"])) put(text, id, typeOfPlain(text, text === unknown, isByteLevel));
  for (const { text, id, isSpecial } of addedTokens(tokenizerJson["added_tokens"], where)) {
    const isUnknown = !isByteLevel && text === unknown;
    const type = isUnknown ? TOKEN_TYPES.unknown : isSpecial ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined;
    // Found in the raw text, in which a space is a space.
    put(type === TOKEN_TYPES.userDefined && !isByteLevel ? text.replaceAll("▁", " ") : text, id, type);
    if (typeof id === "number") idOf.set(text, id);
  }
  return {
    isByteLevel,
    tokens,
    types,
    idOf,
    merges: readMerges(model["merges"], where),
    ignoresMerges: model["ignore_merges"] === true,
    unknown,
  };
}

function typeOfPlain(text: string, isUnknown: boolean, isByteLevel: boolean): number {
  if (isByteLevel) return TOKEN_TYPES.normal;
  if (isUnknown) return TOKEN_TYPES.unknown;
  return /^<0x[0-9A-F]{2}>$/.test(text) ? BYTE_TYPE : TOKEN_TYPES.normal;
}

function holdsByteLevel(preTokenizer: unknown): boolean {
  if (!isJsonObject(preTokenizer)) return false;
  const parts = preTokenizer["pretokenizers"];
  return preTokenizer["type"] === "ByteLevel" || (Array.isArray(parts) && parts.some(holdsByteLevel));
}

function addedTokens(list: unknown, where: string): { text: string; id: unknown; isSpecial: boolean }[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw invalidTokenizer(where, "added_tokens that are no list", "a list");
  return list.map((entry: unknown) => {
    if (!isJsonObject(entry) || typeof entry["content"] !== "string") {
      throw invalidTokenizer(where, `the added token ${showValue(entry)}`, "an object with a content");
    }
    return { text: entry["content"], id: entry["id"], isSpecial: entry["special"] === true };
  });
}

/** Merges are pairs, or in older files two words parted by a space. */
function readMerges(list: unknown, where: string): (readonly [string, string])[] {
  if (!Array.isArray(list)) throw invalidTokenizer(where, "no model.merges", "a list of merges");
  return list.map((merge: unknown) => {
    const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (Array.isArray(parts) && parts.length === 2) {
      const [left, right] = parts as unknown[];
      if (typeof left === "string" && typeof right === "string") return [left, right];
    }
    throw invalidTokenizer(where, `the merge ${showValue(merge)}`, "two tokens");
  });
}

/** The error for a tokenizer that llama.cpp has no equal of. */
export function unsupportedTokenizer(where: string, part: string, found: unknown, expected: string): CusprunError {
  return new CusprunError("TOKENIZER_UNSUPPORTED", {
    where: `${where}: tokenizer.json: ${part}`,
    found: showValue(found),
    expected,
    remedy: "Keep the Hugging Face folder for this model; llama.cpp would cut its texts otherwise",
  });
}

function invalidTokenizer(where: string, found: string, expected: string): CusprunError {
  return new CusprunError("TOKENIZER_INVALID", {
    where: `${where}: tokenizer.json`,
    found,
    expected,
    remedy: "Download the model again, or save its tokenizer with save_pretrained of a fast tokenizer",
  });
}
