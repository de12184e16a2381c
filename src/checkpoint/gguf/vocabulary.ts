/**
 * @file The `tokenizer.ggml.*` keys of a GGUF header, typed and checked: tokens, their types, special ids.
 */

import { CusprunError } from "../../errors.ts";
import type { GgufMetadata, GgufValue } from "./header.ts";

/** Token types of `tokenizer.ggml.token_type` (`enum llama_token_type`). */
export const TOKEN_TYPES: { readonly normal: 1; readonly unknown: 2; readonly control: 3; readonly userDefined: 4 } = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
};

/**
 * Names that llama.cpp treats as control tokens even if a file marks them as normal: ends of generation, and
 * fill-in-the-middle.
 */
const CONTROL_NAMES: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|im_end|>",
  "<|end|>",
  "<end_of_turn>",
  "<|endoftext|>",
  "</s>",
  "<|eom_id|>",
  "<EOT>",
  "_<EOT>",
  "<|end_of_text|>",
  "<end_of_utterance>",
  "<|fim_prefix|>",
  "<fim-prefix>",
  "<fim_prefix>",
  "<PRE>",
  "▁<PRE>",
  "<|fim_suffix|>",
  "<fim-suffix>",
  "<fim_suffix>",
  "<SUF>",
  "▁<SUF>",
  "<|fim_middle|>",
  "<fim-middle>",
  "<fim_middle>",
  "<MID>",
  "▁<MID>",
  "<|fim_pad|>",
  "<fim-pad>",
  "<fim_pad>",
  "<PAD>",
  "<|fim_repo|>",
  "<|repo_name|>",
  "<fim-repo>",
  "<REPO>",
  "<reponame>",
  "<|file_sep|>",
]);

/**
 * Longest accepted token, in UTF-16 units: trying all splits of a token costs its length squared. Real tokens have
 * fewer than 600.
 */
const MAX_TOKEN_LENGTH = 4096;

/** A GGUF vocabulary, checked. */
export interface Vocabulary {
  readonly where: string;
  /** Token texts by id, unique and not empty. */
  readonly tokens: readonly string[];
  readonly idOf: ReadonlyMap<string, number>;
  /** Token types by id, with llama.cpp's corrections. */
  readonly types: Int32Array;
}

/**
 * Reads and checks the tokens and their types.
 * @throws CusprunError `TOKENIZER_INVALID`.
 */
export function readVocabulary(metadata: GgufMetadata, where: string): Vocabulary {
  const tokens = stringArray(metadata, "tokenizer.ggml.tokens", where).map((token, id) =>
    token === "" ? `[EMPTY_${id}]` : token,
  );
  const idOf = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    const earlier = idOf.get(token);
    if (earlier !== undefined)
      throw invalidTokenizer(
        where,
        "tokenizer.ggml.tokens",
        `token ${JSON.stringify(token)} at ${earlier} and at ${id}`,
        "unique tokens",
      );
    if (token.length > MAX_TOKEN_LENGTH) {
      throw invalidTokenizer(
        where,
        "tokenizer.ggml.tokens",
        `token ${id} of ${token.length} characters`,
        `at most ${MAX_TOKEN_LENGTH}`,
      );
    }
    idOf.set(token, id);
  }
  const stored = optionalNumberArray(metadata, "tokenizer.ggml.token_type", tokens.length, where);
  const types = new Int32Array(tokens.length).fill(TOKEN_TYPES.normal);
  if (stored !== null) types.set(stored.subarray(0, tokens.length));
  for (const name of CONTROL_NAMES) {
    const id = idOf.get(name);
    if (id !== undefined && types[id] === TOKEN_TYPES.normal) types[id] = TOKEN_TYPES.control;
  }
  return { where, tokens, idOf, types };
}

/** Whether tokens of a type are found in the text before anything else. */
export function isAddedType(type: number): boolean {
  return type === TOKEN_TYPES.control || type === TOKEN_TYPES.unknown || type === TOKEN_TYPES.userDefined;
}

/**
 * The id under `tokenizer.ggml.{name}_token_id`, or null if the file has no such key, or padding that is no token.
 * @throws CusprunError `TOKENIZER_INVALID` if it is not an id of the vocabulary.
 */
export function specialId(
  metadata: GgufMetadata,
  name: "bos" | "eos" | "unknown" | "padding",
  vocabulary: Vocabulary,
): number | null {
  const key = `tokenizer.ggml.${name}_token_id`;
  const value = metadata.get(key);
  if (value === undefined) return null;
  const isToken = typeof value === "number" && vocabulary.tokens[value] !== undefined;
  // Padding is never computed, and some files name a token that does not exist, such as 4294967295.
  if (!isToken && name === "padding") return null;
  if (!isToken) {
    throw invalidTokenizer(vocabulary.where, key, String(value), `an id below ${vocabulary.tokens.length}`);
  }
  return value;
}

/**
 * A string of the header, or null if it is absent.
 * @throws CusprunError `TOKENIZER_INVALID` if it has another type.
 */
export function optionalString(metadata: GgufMetadata, key: string, where: string): string | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  if (typeof value !== "string") throw invalidTokenizer(where, key, describe(value), "a string");
  return value;
}

/**
 * A boolean of the header, or null if it is absent.
 * @throws CusprunError `TOKENIZER_INVALID` if it has another type.
 */
export function optionalBoolean(metadata: GgufMetadata, key: string, where: string): boolean | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  if (typeof value !== "boolean") throw invalidTokenizer(where, key, describe(value), "true or false");
  return value;
}

/**
 * A required array of strings of the header.
 * @throws CusprunError `TOKENIZER_INVALID` if it is absent or has another type.
 */
export function stringArray(metadata: GgufMetadata, key: string, where: string): readonly string[] {
  const value = metadata.get(key);
  if (!Array.isArray(value) || !value.every((item): item is string => typeof item === "string")) {
    throw invalidTokenizer(where, key, describe(value), "an array of strings");
  }
  return value;
}

/**
 * An array of at least `length` int32 or float32 of the header, or null if it is absent.
 * @throws CusprunError `TOKENIZER_INVALID` if it has another type or is too short.
 */
export function optionalNumberArray(
  metadata: GgufMetadata,
  key: string,
  length: number,
  where: string,
): Int32Array | Float32Array | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  if (!(value instanceof Int32Array || value instanceof Float32Array))
    throw invalidTokenizer(where, key, describe(value), "an array of int32 or float32");
  if (value.length < length) throw invalidTokenizer(where, key, `${value.length} entries`, `${length}, one per token`);
  return value;
}

function describe(value: GgufValue | undefined): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object") return `an array (${value.constructor.name})`;
  return `${typeof value} ${JSON.stringify(String(value).slice(0, 40))}`;
}

/** The error for a missing or wrong key of the tokenizer. */
export function invalidTokenizer(where: string, key: string, found: string, expected: string): CusprunError {
  return new CusprunError("TOKENIZER_INVALID", {
    where: `${where}: ${key}`,
    found,
    expected,
    remedy: "The tokenizer in the file is damaged or has an unknown form: convert or download the model again",
  });
}
