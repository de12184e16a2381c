/**
 * @file A whole forward pass without scoring: documents in, hidden states after the last block out.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { makeBatches, type Batch } from "./batches.ts";
import { WHOLE_BLOCK } from "./block-request.ts";
import type { HiddenStates } from "./hidden-states.ts";
import { type LayeredJobOptions, NO_JOURNAL, resumeStates } from "./layer-journal.ts";
import { LayerProgram } from "./layer-program.ts";
import { planMemory } from "./memory-plan.ts";

/** The result of a forward pass. */
export interface ForwardStates {
  readonly batches: readonly Batch[];
  /** After the last block, before the final norm. The caller closes them. */
  readonly states: HiddenStates;
}

/**
 * Runs documents through the blocks, with batches and a scratch file as the memory limit requires.
 * The layers are the first steps of the journal.
 * @param stage what progress events call this pass.
 * @throws CusprunError `MEMORY_LIMIT`; what `Checkpoint.readFloat32` and `openHiddenStates` throw.
 */
export async function forwardStates(
  checkpoint: Checkpoint,
  documents: readonly TokenDocument[],
  stage: string,
  { journal = NO_JOURNAL, ...options }: LayeredJobOptions,
): Promise<ForwardStates> {
  const { config } = checkpoint;
  const { numHiddenLayers: L } = config;
  const lengths = documents.map(({ tokens }) => tokens.length);
  const { batchTokens, spills } = planMemory({ stage: "measuring", config, lengths }, options.memoryLimit);
  const batches = makeBatches(documents, batchTokens);
  const { states, done: resumed } = await resumeStates(checkpoint, batches, spills, { ...options, journal });
  const program = new LayerProgram(checkpoint, batches, WHOLE_BLOCK);
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  let done = Math.min(resumed, L) * tokens;
  const runLayer = async (layer: number): Promise<Record<string, never>> => {
    const block = await program.readWeights(layer);
    await program.runLayer(
      layer,
      block,
      states,
      states,
      () => ({}),
      (batch) => {
        for (const index of batch.documents) done += lengths[index]!;
        options.onProgress?.({ stage, done, total: L * tokens, unit: "layer tokens" });
      },
      options,
    );
    return {};
  };
  try {
    for (let layer = resumed; layer < L; layer++)
      await journal.step(
        layer,
        () => runLayer(layer),
        () => [states],
      );
    return { batches, states };
  } catch (error) {
    await states.close();
    throw error;
  } finally {
    await program.close();
  }
}

/**
 * Hidden states of every document after the last block, before the final norm: one array [T, D] (f32) per document. For
 * few documents: all are held in memory.
 * @throws CusprunError as `forwardStates`.
 */
export async function forward(
  checkpoint: Checkpoint,
  documents: readonly TokenDocument[],
  stage: string,
  options: JobOptions,
): Promise<readonly Float32Array<ArrayBuffer>[]> {
  const { hiddenSize: D } = checkpoint.config;
  const { batches, states } = await forwardStates(checkpoint, documents, stage, options);
  try {
    const results: Float32Array<ArrayBuffer>[] = [];
    for (const [number, batch] of batches.entries()) {
      const own = await states.get(number);
      for (const [row, index] of batch.documents.entries()) {
        const start = row * batch.length * D;
        results[index] = own.slice(start, start + documents[index]!.tokens.length * D);
      }
    }
    return results;
  } finally {
    await states.close();
  }
}
