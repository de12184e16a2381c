/**
 * @file The token ids of a config.json, a generation_config.json or a tokenizer_config.json: which keys hold them, in
 * what form, and the same with other ids.
 * Source: `PretrainedConfig` and `GenerationConfig` of transformers 5.23.
 */

import { CusprunError } from "../../errors.ts";
import { type JsonObject, showValue } from "../../json.ts";

/** Keys of one id or a list of ids, nested in any way. */
const ID_KEY = /(?:_token_ids?|^(?:begin_)?suppress_tokens|^bad_words_ids|^force_words_ids)$/;

/** A list of [position, id]. */
const POSITIONED_KEY = "forced_decoder_ids";

/** A list of [ids, bias]. */
const BIASED_KEY = "sequence_bias";

/** Padding is never computed with, and many files name an id that is no token's. */
const PADDING_KEY = "pad_token_id";

/** Tokens that every text begins or ends with. */
const NEEDED_KEYS = ["bos_token_id", "eos_token_id", "forced_bos_token_id", "forced_eos_token_id"] as const;

/** Yields the ids of a config that are in the vocabulary, in any order, some of them several times. */
export function* configTokenIds(config: JsonObject, vocabSize: number): Generator<number> {
  for (const [key, value] of Object.entries(config)) {
    const ids: number[] = [];
    mapValue(key, value, (id) => {
      ids.push(id);
      return id;
    });
    yield* ids.filter((id) => id >= 0 && id < vocabSize);
  }
}

/** A config with other ids. */
export interface RenumberedConfig {
  readonly json: JsonObject;
  /** Keys that were left out, because a token of theirs has no new id. */
  readonly leftOut: readonly string[];
}

/**
 * Replaces every token id of a config. A padding id that is no token's becomes null.
 * @param newId the new id of a token, undefined if there is none.
 */
export function renumberConfig(config: JsonObject, newId: (id: number) => number | undefined): RenumberedConfig {
  const leftOut: string[] = [];
  const entries = Object.entries(config).flatMap(([key, value]): [string, unknown][] => {
    const mapped = mapValue(key, value, newId);
    if (mapped !== undefined) return [[key, mapped]];
    if (key === PADDING_KEY) return [[key, null]];
    leftOut.push(key);
    return [];
  });
  return { json: Object.fromEntries(entries), leftOut };
}

/** A config whose padding id is null if it is no token's. */
export function withPaddingToken(config: JsonObject, vocabSize: number): JsonObject {
  const id = config[PADDING_KEY];
  const isToken = id === undefined || id === null || (isId(id) && id < vocabSize);
  return isToken ? config : { ...config, [PADDING_KEY]: null };
}

/**
 * Checks the ids of the tokens that texts begin and end with.
 * @param where the file, for error messages.
 * @throws CusprunError `CONFIG_INVALID`.
 */
export function checkNeededTokenIds(config: JsonObject, vocabSize: number, where: string): void {
  for (const key of NEEDED_KEYS) {
    const value = config[key] ?? [];
    if ((Array.isArray(value) ? value : [value]).every((id: unknown) => isId(id) && id < vocabSize)) continue;
    throw new CusprunError("CONFIG_INVALID", {
      where: `${where}: ${key}`,
      found: showValue(value),
      expected: `ids of tokens from 0 to ${vocabSize - 1}, one, a list or null: the embedding has ${vocabSize} rows`,
      remedy: "Write the id that the model's tokenizer has for this token, or null",
    });
  }
}

/** A value with other ids; the value itself under a key that holds none; undefined if an id has no new one. */
function mapValue(key: string, value: unknown, newId: (id: number) => number | undefined): unknown {
  if (value === null || value === undefined) return value;
  if (key === POSITIONED_KEY) return mapEntries(value, ([position, id]) => withMapped(position, mapIds(id, newId)));
  if (key === BIASED_KEY) return mapEntries(value, ([ids, bias]) => withMapped(mapIds(ids, newId), bias));
  return ID_KEY.test(key) ? mapIds(value, newId) : value;
}

function mapIds(value: unknown, newId: (id: number) => number | undefined): unknown {
  if (Array.isArray(value)) return mapAll(value, (part) => mapIds(part, newId));
  return isId(value) ? newId(value) : undefined;
}

function mapEntries(value: unknown, map: (entry: readonly unknown[]) => unknown): unknown {
  return Array.isArray(value)
    ? mapAll(value, (entry) => (Array.isArray(entry) && entry.length === 2 ? map(entry) : undefined))
    : undefined;
}

function withMapped(first: unknown, second: unknown): unknown {
  return first === undefined || second === undefined ? undefined : [first, second];
}

/** Undefined if a part is. */
function mapAll(list: readonly unknown[], map: (part: unknown) => unknown): unknown[] | undefined {
  const mapped = list.map(map);
  return mapped.includes(undefined) ? undefined : mapped;
}

function isId(id: unknown): id is number {
  return typeof id === "number" && Number.isSafeInteger(id) && id >= 0;
}
