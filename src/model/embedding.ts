/**
 * @file The model's first step: token ids to hidden states. The embedding matrix is read in slices, and only those that
 * a token needs.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { familyNamed, modelTensorName } from "../families/index.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import type { Batch } from "./batches.ts";
import { openHiddenStates, type HiddenStates } from "./hidden-states.ts";

/** Number of rows of the embedding in memory at once. */
export const ROWS_PER_SLICE = 8192;

/**
 * Hidden states before the first block; padding is 0. The caller closes them.
 * @param spills whether they live in a scratch file.
 * @throws CusprunError as `Checkpoint.readFloat32` and `openHiddenStates`.
 */
export async function embedBatches(
  checkpoint: Checkpoint,
  batches: readonly Batch[],
  spills: boolean,
  options: JobOptions,
): Promise<HiddenStates> {
  const states = await openStates(batches, checkpoint.config.hiddenSize, spills);
  try {
    await embed(checkpoint, batches, states, options);
    return states;
  } catch (error) {
    await states.close();
    throw error;
  }
}

/** Room for one more set of hidden states of batches. The caller closes it. */
export function openStates(batches: readonly Batch[], hiddenSize: number, spills: boolean): Promise<HiddenStates> {
  return openHiddenStates(
    batches.map(({ tokens }) => tokens.length * hiddenSize),
    spills,
  );
}

async function embed(
  checkpoint: Checkpoint,
  batches: readonly Batch[],
  states: HiddenStates,
  options: JobOptions,
): Promise<void> {
  const { family, hiddenSize: D, vocabSize: V, maxPositionEmbeddings: positions, embeddingScale } = checkpoint.config;
  const embedding = modelTensorName(familyNamed(family), "embedding");
  for (const { tokens, length } of batches) {
    if (length > positions) throw new RangeError(`a document of ${length} tokens, in a model of ${positions} positions`);
    const outside = tokens.find((token) => token < 0 || token >= V);
    if (outside !== undefined) throw new RangeError(`token ${outside} has no row in the embedding of ${V} rows`);
  }
  const slicesOf = batches.map(({ tokens }) => new Set(Array.from(tokens, (token) => Math.floor(token / ROWS_PER_SLICE))));
  const needed = new Set(slicesOf.flatMap((slices) => [...slices]));
  // Runtimes store the factor in f32.
  const scale = Math.fround(embeddingScale);
  for (const slice of [...needed].toSorted((a, b) => a - b)) {
    await pause(options.signal);
    const start = slice * ROWS_PER_SLICE;
    const end = Math.min(V, start + ROWS_PER_SLICE);
    const rows = await checkpoint.readFloat32(embedding, { start, end });
    if (scale !== 1) for (let index = 0; index < rows.length; index++) rows[index] = rows[index]! * scale;
    for (const [number, batch] of batches.entries()) {
      if (!slicesOf[number]!.has(slice)) continue;
      const own = await states.get(number);
      copyRows(batch, rows, start, end, D, own);
      await states.set(number, own);
    }
  }
}

function copyRows(batch: Batch, rows: Float32Array, start: number, end: number, D: number, states: Float32Array): void {
  for (let index = 0; index < batch.tokens.length; index++) {
    const token = batch.tokens[index]!;
    if (batch.mask[index] === 0 || token < start || token >= end) continue;
    states.set(rows.subarray((token - start) * D, (token - start + 1) * D), index * D);
  }
}
