/**
 * @file FFN widths that let a GGUF keep its K-quants: their blocks of 256 values lie along the rows of `ffn_down`, which are as long as the FFN is wide.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { blockTensorName, familyNamed } from "../families/index.ts";
import type { WriteOptions } from "./writing-step.ts";

/** Values of a K-quant's block. */
const K_BLOCK = 256;

/** What FFN widths are best multiples of, or null where nothing is said by the formats that are written. */
export function preferredSnap({ config, tensors, gguf }: Checkpoint, { formats = [], type }: WriteOptions): number | null {
  if (!formats.includes("gguf") || config.layerSizes.some(({ intermediateSize }) => intermediateSize % K_BLOCK !== 0))
    return null;
  const stored = config.layerSizes.map(
    (_, layer) => tensors.get(blockTensorName(familyNamed(config.family), layer, "down"))?.dtype ?? "F32",
  );
  const types: readonly string[] = type !== undefined ? [type] : gguf === undefined ? [] : stored;
  return types.some((name) => /_K(_M)?$/.test(name)) ? K_BLOCK : null;
}
