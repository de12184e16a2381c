/**
 * @file The `tokenizer.*` keys of a GGUF file, carried over into a file that is made from it: byte for byte, or without
 * the removed tokens and with renumbered ids. Keys that cusprun does not know are carried over as well.
 */

import type { GgufOrigin } from "../../checkpoint/checkpoint.ts";
import type { GgufMetadata, GgufValue } from "../../checkpoint/gguf/values.ts";
import type { GgufTypedValue } from "./writer.ts";

/** The prefix of every key of the tokenizer. */
export const TOKENIZER_PREFIX = "tokenizer.";
/** Without this key a file has no tokenizer. */
const MODEL_KEY = "tokenizer.ggml.model";
const TOKENS_KEY = "tokenizer.ggml.tokens";
const PADDING_KEY = "tokenizer.ggml.padding_token_id";
/** Arrays of ids, of any length. */
const ID_LIST_KEY = /(?:_token_ids|suppress_tokens)$/;
const MERGES_KEY = "tokenizer.ggml.merges";
/** Arrays with one entry per token, and the type that they are stored in. */
const PER_TOKEN = { [TOKENS_KEY]: "string", "tokenizer.ggml.scores": "float32", "tokenizer.ggml.token_type": "int32" } as const;
/** A complete tokenizer.json, which would contradict the trimmed vocabulary. */
const HUGGING_FACE_KEY = "tokenizer.huggingface.json";

/** Whether a GGUF file holds a tokenizer. */
export function hasTokenizer({ metadata }: GgufOrigin): boolean {
  return metadata.has(MODEL_KEY);
}

/**
 * The values by key. A key of the file that is not among them is dropped.
 * @throws CusprunError `GGUF_TRUNCATED` if the file was truncated after it was opened.
 */
export async function carriedTokenizerValues(origin: GgufOrigin): Promise<ReadonlyMap<string, GgufTypedValue>> {
  const { metadata, tokenIds } = origin;
  const values = new Map<string, GgufTypedValue>();
  const kept = tokenIds === null ? null : { ids: tokenIds, texts: keptTexts(metadata.get(TOKENS_KEY), tokenIds) };
  for (const [key, value] of metadata) {
    if (!key.startsWith(TOKENIZER_PREFIX) || isAbsentPadding(key, value, metadata)) continue;
    const trimmed = kept === null ? "same" : trimValue(key, value, kept);
    if (trimmed !== null) values.set(key, trimmed === "same" ? ["encoded", await origin.readValue(key)] : trimmed);
  }
  return values;
}

/** Keys that are dropped because a token that they name was removed. */
export function leftOutTokenizerKeys({ metadata, tokenIds }: Pick<GgufOrigin, "metadata" | "tokenIds">): string[] {
  if (tokenIds === null) return [];
  const named = [...metadata].filter(
    ([key, value]) => key.startsWith(TOKENIZER_PREFIX) && !isAbsentPadding(key, value, metadata),
  );
  return named.filter(([key, value]) => renumberIds(key, value, tokenIds) === null).map(([key]) => key);
}

/** Padding is never computed, and some files name a token that does not exist, such as 4294967295. */
function isAbsentPadding(key: string, value: GgufValue, metadata: GgufMetadata): boolean {
  return key === PADDING_KEY && !(Number(value) < stringsOf(metadata.get(TOKENS_KEY)).length);
}

interface KeptTokens {
  /** New ids by old ones, ascending. */
  readonly ids: ReadonlyMap<number, number>;
  readonly texts: ReadonlySet<string>;
}

function keptTexts(tokens: GgufValue | undefined, ids: ReadonlyMap<number, number>): ReadonlySet<string> {
  return new Set(stringsOf(tokens).filter((_, id) => ids.has(id)));
}

/** A key's value without the removed tokens; null if nothing is left of it. */
function trimValue(key: string, value: GgufValue, { ids, texts }: KeptTokens): GgufTypedValue | "same" | null {
  if (key === HUGGING_FACE_KEY) return null;
  if (Object.hasOwn(PER_TOKEN, key)) {
    const type = PER_TOKEN[key as keyof typeof PER_TOKEN];
    if (type === "string") return ["array", type, stringsOf(value).filter((_, id) => ids.has(id))];
    const numbers = Array.from(value as ArrayLike<number>).filter((_, id) => ids.has(id));
    return ["array", type, numbers];
  }
  if (key === MERGES_KEY) return ["array", "string", stringsOf(value).filter((merge) => isKeptMerge(merge, texts))];
  return renumberIds(key, value, ids);
}

/** The value of a key that names tokens; null if one of them was removed, `same` for a key that names none. */
function renumberIds(key: string, value: GgufValue, ids: ReadonlyMap<number, number>): GgufTypedValue | "same" | null {
  if (key.endsWith("_token_id")) {
    const id = ids.get(Number(value));
    return id === undefined ? null : ["uint32", id];
  }
  if (!ID_LIST_KEY.test(key)) return "same";
  const list = Array.from(value as ArrayLike<unknown>, (id) => ids.get(Number(id)));
  return list.includes(undefined) ? null : ["array", "int32", list as number[]];
}

/** A merge is kept if its parts and its result are. */
function isKeptMerge(merge: string, texts: ReadonlySet<string>): boolean {
  // The separating space is not the first character, which may be part of a token.
  const at = merge.indexOf(" ", 1);
  const [left, right] = [merge.slice(0, at), merge.slice(at + 1)];
  return texts.has(left) && texts.has(right) && texts.has(left + right);
}

function stringsOf(value: GgufValue | undefined): readonly string[] {
  return Array.isArray(value) ? (value as readonly string[]) : [];
}
