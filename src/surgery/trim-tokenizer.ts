/**
 * @file Fewer tokens: a tokenizer's files + the kept ids → the files with the ids renumbered in ascending order, 0, 1,
 * 2 … A text that was encoded with kept tokens alone is encoded to the same tokens; every other text is encoded without
 * loss in smaller pieces, down to single bytes.
 * Target: `tokenizer.json` and `tokenizer_config.json` as https://github.com/huggingface/tokenizers and transformers
 * read them.
 */

import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { renumberConfig, type RenumberedConfig } from "../checkpoint/config/token-ids.ts";
import { isJsonObject, type JsonObject, parseJsonBytes } from "../json.ts";

/** Files next to tokenizer.json that hold neither ids nor tokens. Others would contradict it and are left out. */
const ID_FREE_FILES: readonly string[] = ["chat_template.jinja", "chat_template.json"];

/** Lists of further special tokens. */
const TOKEN_LISTS: readonly string[] = ["additional_special_tokens", "extra_special_tokens"];

/** Names tokens by their texts. */
const SPECIAL_TOKENS_FILE = "special_tokens_map.json";

/** New ids by old ones. */
export type TokenIdMap = ReadonlyMap<number, number>;

/**
 * New ids of the kept tokens.
 * @param kept old ids, ascending.
 */
export function renumberTokens(kept: Iterable<number>): TokenIdMap {
  return new Map([...kept].map((id, index) => [id, index]));
}

/**
 * Trims a tokenizer. Pure.
 * @param files of a BPE tokenizer that `readBpe` accepts.
 * @param ids closed under merges: with every token, the two that it is merged from (`deriveTokens`); contains all bytes
 *   and special tokens.
 */
export function trimTokenizer(files: TokenizerFiles, ids: TokenIdMap): TokenizerFiles {
  const tokenizerJson = trimTokenizerJson(files.tokenizerJson, ids);
  const isKept = isKeptName(files.tokenizerJson, tokenizerJson);
  const config = trimTokenizerConfig(files.tokenizerConfig, ids, isKept);
  const special = parsedFile(files, SPECIAL_TOKENS_FILE);
  const named = special === null ? null : withoutNames(special, isKept);
  const encoder = new TextEncoder();
  const encode = (json: JsonObject): Uint8Array => encoder.encode(`${JSON.stringify(json, null, 2)}\n`);
  return {
    ...(files.madeFrom !== undefined && { madeFrom: files.madeFrom }),
    tokenizerJson,
    tokenizerConfig: config.json,
    files: new Map([
      ["tokenizer.json", encoder.encode(JSON.stringify(tokenizerJson))],
      ["tokenizer_config.json", encode(config.json)],
      ...(named === null ? [] : [[SPECIAL_TOKENS_FILE, encode(named.json)] as const]),
      ...[...files.files].filter(([name]) => ID_FREE_FILES.includes(name)),
    ]),
    leftOut: [
      ...config.leftOut.map((key) => `tokenizer_config.json: ${key}`),
      ...(named?.leftOut ?? []).map((key) => `${SPECIAL_TOKENS_FILE}: ${key}`),
    ],
  };
}

/** A JSON file of a tokenizer; null if there is none, or none that can be parsed. */
function parsedFile({ files }: TokenizerFiles, name: string): JsonObject | null {
  const bytes = files.get(name);
  if (bytes === undefined) return null;
  try {
    const json = parseJsonBytes(bytes);
    return isJsonObject(json) ? json : null;
  } catch {
    return null;
  }
}

function trimTokenizerJson(json: JsonObject, ids: TokenIdMap): JsonObject {
  const model = json["model"] as JsonObject;
  const vocab = Object.entries(model["vocab"] as Readonly<Record<string, number>>).flatMap(([text, id]): [string, number][] => {
    const renumbered = ids.get(id);
    return renumbered === undefined ? [] : [[text, renumbered]];
  });
  const texts = new Set(vocab.map(([text]) => text));
  const merges = (model["merges"] as readonly (string | readonly [string, string])[]).filter((merge) => {
    const [left, right] = typeof merge === "string" ? (merge.split(" ") as [string, string]) : merge;
    return texts.has(left) && texts.has(right) && texts.has(left + right);
  });
  const added = ((json["added_tokens"] ?? []) as readonly JsonObject[]).filter(({ id }) => ids.has(id as number));
  const { padding } = json;
  return {
    ...json,
    ...(isJsonObject(padding) && { padding: trimPadding(padding, ids) }),
    added_tokens: added.map((token) => ({ ...token, id: ids.get(token["id"] as number) })),
    post_processor: renumberProcessor(json["post_processor"], ids),
    model: { ...model, vocab: Object.fromEntries(vocab), merges },
  };
}

/** A post-processor names the special tokens that it puts around a text by their ids. */
function renumberProcessor(processor: unknown, ids: TokenIdMap): unknown {
  if (!isJsonObject(processor)) return processor ?? null;
  const renumbered: Record<string, unknown> = { ...processor };
  if (Array.isArray(processor["processors"]))
    renumbered["processors"] = processor["processors"].map((part: unknown) => renumberProcessor(part, ids));
  if (isJsonObject(processor["special_tokens"])) {
    renumbered["special_tokens"] = Object.fromEntries(
      Object.entries(processor["special_tokens"]).map(([name, token]) => [
        name,
        { ...(token as JsonObject), ids: ((token as JsonObject)["ids"] as readonly number[]).map((id) => ids.get(id)) },
      ]),
    );
  }
  return renumbered;
}

/** Padding is switched off if its token is removed. */
function trimPadding(padding: JsonObject, ids: TokenIdMap): JsonObject | null {
  const id = ids.get(padding["pad_id"] as number);
  return id === undefined ? null : { ...padding, pad_id: id };
}

function trimTokenizerConfig(config: JsonObject, ids: TokenIdMap, isKept: (name: string) => boolean): RenumberedConfig {
  const renumbered = renumberConfig(config, (id) => ids.get(id));
  const named = withoutNames(renumbered.json, isKept);
  const decoder = named.json["added_tokens_decoder"];
  const leftOut = [...renumbered.leftOut, ...named.leftOut];
  if (!isJsonObject(decoder)) return { json: named.json, leftOut };
  const entries = Object.entries(decoder).flatMap(([id, token]): [string, unknown][] => {
    const newId = ids.get(Number(id));
    return newId === undefined ? [] : [[String(newId), token]];
  });
  return { json: { ...named.json, added_tokens_decoder: Object.fromEntries(entries) }, leftOut };
}

/** Whether a text is no token of the old vocabulary, or one of the new. */
function isKeptName(before: JsonObject, after: JsonObject): (name: string) => boolean {
  const [old, kept] = [tokenTexts(before), tokenTexts(after)];
  return (name) => kept.has(name) || !old.has(name);
}

function tokenTexts(json: JsonObject): ReadonlySet<string> {
  const { vocab } = json["model"] as JsonObject;
  const added = (json["added_tokens"] ?? []) as readonly JsonObject[];
  return new Set([...Object.keys(vocab as JsonObject), ...added.map(({ content }) => content as string)]);
}

/** Without the names of removed tokens: transformers would add such a token again, past the end of the embedding. */
function withoutNames(json: JsonObject, isKept: (name: string) => boolean): RenumberedConfig {
  const leftOut: string[] = [];
  const isKeptToken = (token: unknown): boolean => {
    const name = isJsonObject(token) ? token["content"] : token;
    return typeof name !== "string" || isKept(name);
  };
  const entries = Object.entries(json).flatMap(([key, value]): [string, unknown][] => {
    if (key.endsWith("_token") && !isKeptToken(value)) {
      leftOut.push(key);
      return [];
    }
    return [[key, TOKEN_LISTS.includes(key) && Array.isArray(value) ? value.filter(isKeptToken) : value]];
  });
  return { json: Object.fromEntries(entries), leftOut };
}
