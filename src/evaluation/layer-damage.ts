/**
 * @file How much the model minds the loss of some units of one layer: each layer is cut alone, the layers behind it run as they are, and the
 * divergence of what the model then expects from what it expected is read. Forward only, and in one pass over the layers: the hidden
 * states of all trials so far go through a layer together, so that its weights are read once. It costs trials · documents · half the model.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { makeBatches } from "../scoring/batches.ts";
import { embedBatches } from "../scoring/embedding.ts";
import { LayerProgram } from "../scoring/layer-program.ts";
import type { WeightSource } from "../scoring/layer-program.ts";
import { computeDivergences } from "../scoring/output-head.ts";

/** A layer to be cut, and a model in which it is. */
export interface LayerTrial {
  readonly layer: number;
  readonly cut: WeightSource;
}

/**
 * Kullback-Leibler divergence of the model with one layer cut from the whole model, in nats per token.
 * @returns [trials][documents], the mean over a document's tokens.
 * @throws CusprunError what `Checkpoint.readFloat32` throws.
 */
export async function measureLayerDamage(
  checkpoint: Checkpoint,
  trials: readonly LayerTrial[],
  documents: readonly TokenDocument[],
  options: JobOptions,
): Promise<Float64Array[]> {
  const { hiddenSize: D, numHiddenLayers: L } = checkpoint.config;
  const batches = makeBatches(documents);
  const whole = await embedBatches(checkpoint, batches, options);
  const states: (Float32Array<ArrayBuffer>[] | null)[] = trials.map(() => null);
  const program = new LayerProgram(checkpoint, batches, {});
  const total = trials.reduce((sum, { layer }) => sum + L - layer, L);
  let done = 0;
  const run = async (by: LayerProgram, layer: number, block: Block, of: Float32Array<ArrayBuffer>[]): Promise<void> => {
    await by.runLayer(
      layer,
      block,
      of,
      () => ({}),
      () => undefined,
      options,
    );
    options.onProgress?.({ stage: "trying cuts", done: ++done, total, unit: "layers" });
  };
  try {
    for (let layer = 0; layer < L; layer++) {
      const block = await program.readWeights(layer);
      for (const [index, trial] of trials.entries()) {
        const own = states[index]!;
        if (own !== null) await run(program, layer, block, own);
        else if (trial.layer === layer) {
          const cut = new LayerProgram(trial.cut, batches, {});
          states[index] = [...whole];
          await run(cut, layer, await cut.readWeights(layer), states[index]);
          await cut.close();
        }
      }
      await run(program, layer, block, whole);
    }
  } finally {
    await program.close();
  }
  // Batch by batch: of a batch, the real tokens of its rows.
  const damage = trials.map(() => new Float64Array(documents.length));
  for (const [number, batch] of batches.entries()) {
    const lengths = batch.documents.map((index) => documents[index]!.tokens.length);
    const rowsOf = (of: readonly Float32Array<ArrayBuffer>[]): Float32Array<ArrayBuffer> => {
      const rows = new Float32Array(lengths.reduce((sum, length) => sum + length, 0) * D);
      let at = 0;
      for (const [row, length] of lengths.entries()) {
        const start = row * batch.length * D;
        rows.set(of[number]!.subarray(start, start + length * D), at);
        at += length * D;
      }
      return rows;
    };
    const divergences = await computeDivergences(
      checkpoint,
      rowsOf(whole),
      states.map((own) => rowsOf(own!)),
      options,
    );
    for (const [trial, perToken] of divergences.entries()) {
      let at = 0;
      for (const [row, length] of lengths.entries()) {
        const sum = perToken.subarray(at, at + length).reduce((total, value) => total + value, 0);
        damage[trial]![batch.documents[row]!] = sum / length;
        at += length;
      }
    }
  }
  return damage;
}

type Block = Parameters<LayerProgram["runLayer"]>[1];
