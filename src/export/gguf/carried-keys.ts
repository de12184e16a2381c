/**
 * @file The keys of a GGUF file in the one that is made from it: byte for byte but for what the cut, another architecture or another type
 * changes.
 */

import type { GgufOrigin } from "../../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../../checkpoint/config/model-config.ts";
import type { GgufValue } from "../../checkpoint/gguf/values.ts";
import type { GgufForm } from "./architecture.ts";
import { carriedTokenizerValues, TOKENIZER_PREFIX } from "./carried-tokenizer.ts";
import { architecturePairs, descriptionPairs, type GgufDescription } from "./model-keys.ts";
import type { GgufPair, GgufTypedValue } from "./writer.ts";

/** Keys behind the architecture's name that a cut changes. */
const SIZE_KEYS = ["feed_forward_length", "attention.head_count", "attention.head_count_kv", "vocab_size"] as const;
/** Keys that another number of layers changes. */
const LAYER_KEYS = [
  "block_count",
  "feed_forward_length",
  "attention.head_count",
  "attention.head_count_kv",
  "attention.sliding_window_pattern",
] as const;
/** Keys that a file may lack, because they are what follows from the head count that it has. */
const HEAD_SIZE_KEYS = ["attention.key_length", "attention.value_length", "rope.dimension_count"] as const;
/** Keys of how the file itself is laid out, which its successor is not. */
const LAYOUT_KEYS = /^(general\.alignment|split\..*)$/;

/** What a file says of itself, where it is to say something else than the one that it is made from. */
export type CarriedDescription = Partial<Pick<GgufDescription, "name" | "license">> &
  Pick<GgufDescription, "parameters" | "storage">;

/**
 * The keys that the file has, in its order, and after them those that it lacks.
 * @throws CusprunError `GGUF_TRUNCATED` where the file was cut since it was opened.
 */
export async function carriedPairs(
  origin: GgufOrigin,
  config: ModelConfig,
  form: GgufForm,
  description: CarriedDescription,
): Promise<GgufPair[]> {
  const { metadata } = origin;
  const before = String(metadata.get("general.architecture"));
  const sizes = new Map(architecturePairs(config, form));
  const isSame = before === form.architecture;
  const changed = new Map<string, GgufTypedValue>(isSame ? changedSizes(metadata, form.architecture, sizes) : sizes);
  const isCut = changed.size > 0 || origin.tokenIds !== null;
  for (const [key, value] of descriptionPairs(form, description)) {
    if (key === "general.architecture" ? !isSame : isSaid(key, metadata.has(key), isCut, description)) changed.set(key, value);
  }
  const tokenizer = await carriedTokenizerValues(origin);
  const pairs: GgufPair[] = [];
  for (const key of metadata.keys()) {
    const isGone = key.startsWith(TOKENIZER_PREFIX) ? !tokenizer.has(key) : !isSame && key.startsWith(`${before}.`);
    if (isGone || LAYOUT_KEYS.test(key)) continue;
    pairs.push([key, tokenizer.get(key) ?? changed.get(key) ?? ["encoded", await origin.readValue(key)]]);
    changed.delete(key);
  }
  return [...pairs, ...changed];
}

/** The sizes that are not what the file says. */
function changedSizes(
  metadata: GgufOrigin["metadata"],
  architecture: string,
  sizes: ReadonlyMap<string, GgufTypedValue>,
): [string, GgufTypedValue][] {
  const different = (name: string): [string, GgufTypedValue][] => {
    const key = `${architecture}.${name}`;
    const value = sizes.get(key)!;
    // Without key-value heads of their own, a file has as many as query heads.
    const implied = name === "attention.head_count_kv" ? metadata.get(`${architecture}.attention.head_count`) : undefined;
    return isSameValue(metadata.get(key) ?? implied, value) ? [] : [[key, value]];
  };
  const present = SIZE_KEYS.filter((name) => name !== "vocab_size" || metadata.has(`${architecture}.${name}`));
  // With fewer layers a list of one entry for each is too long, also where all are alike.
  const renewed = different("block_count").length === 0 ? [] : LAYER_KEYS;
  const changed = [
    ...renewed.flatMap((name): [string, GgufTypedValue][] => {
      const value = sizes.get(`${architecture}.${name}`);
      return value === undefined ? [] : [[`${architecture}.${name}`, value]];
    }),
    ...present.filter((name) => !renewed.some((key) => key === name)).flatMap(different),
  ];
  return changed.length === 0 ? [] : [...changed, ...HEAD_SIZE_KEYS.flatMap(different)];
}

/** A file may give one size for all layers or, alike, one for each. */
function isSameValue(stored: GgufValue | undefined, value: GgufTypedValue): boolean {
  if (stored === undefined || typeof value[1] !== "number") return false;
  const all = typeof stored === "object" ? Array.from<unknown>(stored) : [stored];
  return all.every((each) => each === value[1]);
}

/** Whether one of our own keys of the description is said in place of the file's. */
function isSaid(key: string, isThere: boolean, isCut: boolean, { name, storage }: CarriedDescription): boolean {
  switch (key) {
    case "general.name":
      return name !== undefined;
    case "general.size_label":
      return isCut;
    case "general.file_type":
    case "general.quantization_version":
      return storage !== "as stored";
    case "general.license":
      return !isThere;
    default:
      return false;
  }
}
