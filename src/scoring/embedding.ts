/**
 * @file The model's first step: token ids to hidden states, with the embedding matrix read in slices and only where a token needs it.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { MODEL_TENSOR_NAMES } from "../checkpoint/families.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import type { Batch } from "./batches.ts";

/** Rows of the embedding that are in memory at once. */
const ROWS_PER_SLICE = 8192;

/**
 * Hidden states before the first block, one array [B, T, D] (f32) per batch; padding is 0.
 * @throws CusprunError what `Checkpoint.readFloat32` throws.
 */
export async function embedBatches(
  checkpoint: Checkpoint,
  batches: readonly Batch[],
  options: JobOptions,
): Promise<Float32Array<ArrayBuffer>[]> {
  const { hiddenSize: D, vocabSize: V, embeddingScale } = checkpoint.config;
  const states = batches.map((batch) => new Float32Array(batch.tokens.length * D));
  const needed = new Set<number>();
  for (const batch of batches) for (const token of batch.tokens) needed.add(Math.floor(token / ROWS_PER_SLICE));
  // Runtimes hold the factor in f32.
  const scale = Math.fround(embeddingScale);
  for (const slice of [...needed].toSorted((a, b) => a - b)) {
    await pause(options.signal);
    const start = slice * ROWS_PER_SLICE;
    const end = Math.min(V, start + ROWS_PER_SLICE);
    const rows = await checkpoint.readFloat32(MODEL_TENSOR_NAMES.embedding, { start, end });
    if (scale !== 1) for (let index = 0; index < rows.length; index++) rows[index] = rows[index]! * scale;
    for (const [number, batch] of batches.entries()) copyRows(batch, rows, start, end, D, states[number]!);
  }
  return states;
}

function copyRows(batch: Batch, rows: Float32Array, start: number, end: number, D: number, states: Float32Array): void {
  for (let index = 0; index < batch.tokens.length; index++) {
    const token = batch.tokens[index]!;
    if (batch.mask[index] === 0 || token < start || token >= end) continue;
    states.set(rows.subarray((token - start) * D, (token - start + 1) * D), index * D);
  }
}
