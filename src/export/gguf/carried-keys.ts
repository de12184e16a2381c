/**
 * @file The keys of a GGUF file, carried over into a file that is made from it: byte for byte, except for those that
 * the cut, another architecture or another type changes.
 */

import type { GgufOrigin } from "../../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../../checkpoint/config/model-config.ts";
import type { GgufValue } from "../../checkpoint/gguf/values.ts";
import type { GgufForm } from "./architecture.ts";
import { carriedTokenizerValues, TOKENIZER_PREFIX } from "./carried-tokenizer.ts";
import { architecturePairs, descriptionPairs, type GgufDescription } from "./model-keys.ts";
import type { GgufPair, GgufTypedValue } from "./writer.ts";

/** Keys under the architecture's prefix that a cut changes. */
const SIZE_KEYS = ["feed_forward_length", "attention.head_count", "attention.head_count_kv", "vocab_size"] as const;
/** Keys that depend on the number of layers. */
const LAYER_KEYS = [
  "block_count",
  "feed_forward_length",
  "attention.head_count",
  "attention.head_count_kv",
  "attention.sliding_window_pattern",
] as const;
/** Keys that a file may omit, because they follow from its head count. */
const HEAD_SIZE_KEYS = ["attention.key_length", "attention.value_length", "rope.dimension_count"] as const;
/** Keys of the file's own layout, which the new file does not share. */
const LAYOUT_KEYS = /^(general\.alignment|split\..*)$/;

/** The description of a file, as far as it differs from that of the file that it is made from. */
export type CarriedDescription = Partial<Pick<GgufDescription, "name" | "license">> &
  Pick<GgufDescription, "parameters" | "storage">;

/**
 * The keys of the source file, in its order, followed by those that it lacks.
 * @throws CusprunError `GGUF_TRUNCATED` if the file was truncated after it was opened.
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
    const replaces = key === "general.architecture" ? !isSame : isReplaced(key, metadata.has(key), isCut, description);
    if (replaces) changed.set(key, value);
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

/** The sizes that differ from the file's. */
function changedSizes(
  metadata: GgufOrigin["metadata"],
  architecture: string,
  sizes: ReadonlyMap<string, GgufTypedValue>,
): [string, GgufTypedValue][] {
  const different = (name: string): [string, GgufTypedValue][] => {
    const key = `${architecture}.${name}`;
    const value = sizes.get(key)!;
    // A file without a number of key-value heads has as many as query heads.
    const implied = name === "attention.head_count_kv" ? metadata.get(`${architecture}.attention.head_count`) : undefined;
    return isSameValue(metadata.get(key) ?? implied, value) ? [] : [[key, value]];
  };
  const present = SIZE_KEYS.filter((name) => name !== "vocab_size" || metadata.has(`${architecture}.${name}`));
  // With fewer layers, a list with one entry per layer is too long, even if all entries are the same.
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

/** A file may have one size for all layers, or the same size for each. */
function isSameValue(stored: GgufValue | undefined, value: GgufTypedValue): boolean {
  if (stored === undefined || typeof value[1] !== "number") return false;
  const all = typeof stored === "object" ? Array.from<unknown>(stored) : [stored];
  return all.every((each) => each === value[1]);
}

/** Whether a key of our own description replaces the file's. */
function isReplaced(key: string, isThere: boolean, isCut: boolean, { name, storage }: CarriedDescription): boolean {
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
