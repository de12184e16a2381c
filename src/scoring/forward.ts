/**
 * @file A whole forward pass without scoring: documents in, hidden states after the last block out.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { makeBatches } from "./batches.ts";
import { embedBatches } from "./embedding.ts";
import { LayerProgram } from "./layer-program.ts";

/**
 * Hidden states of every document after the last block, before the final norm: one array [T, D] (f32) per document.
 * @param stage what progress events call this pass.
 * @throws CusprunError what `Checkpoint.readFloat32` throws.
 */
export async function forward(
  checkpoint: Checkpoint,
  documents: readonly TokenDocument[],
  stage: string,
  options: JobOptions,
): Promise<readonly Float32Array<ArrayBuffer>[]> {
  const { hiddenSize: D, numHiddenLayers: L } = checkpoint.config;
  const batches = makeBatches(documents);
  const states = await embedBatches(checkpoint, batches, options);
  const program = new LayerProgram(checkpoint, batches, {});
  const total = L * documents.reduce((sum, document) => sum + document.tokens.length, 0);
  let done = 0;
  try {
    for (let layer = 0; layer < L; layer++) {
      const block = await program.readWeights(layer);
      await program.runLayer(
        layer,
        block,
        states,
        () => ({}),
        (batch) => {
          for (const index of batch.documents) done += documents[index]!.tokens.length;
          options.onProgress?.({ stage, done, total, unit: "layer tokens" });
        },
        options,
      );
    }
  } finally {
    await program.close();
  }
  const results: Float32Array<ArrayBuffer>[] = [];
  for (const [number, batch] of batches.entries()) {
    for (const [row, index] of batch.documents.entries()) {
      const start = row * batch.length * D;
      results[index] = states[number]!.slice(start, start + documents[index]!.tokens.length * D);
    }
  }
  return results;
}
