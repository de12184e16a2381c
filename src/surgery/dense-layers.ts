/**
 * @file The dense model beside the one under repair: its residual stream before, within and after each layer, as
 * scoring has kept it, or computed anew.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Batch } from "../model/batches.ts";
import { embedBatches, openStates } from "../model/embedding.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import type { KeptStates } from "../model/kept-states.ts";
import { type BlockOutputs, LayerProgram } from "../model/layer-program.ts";
import type { JobOptions } from "../progress.ts";

/** The dense residual stream around one layer. */
export interface DenseLayer {
  readonly before: HiddenStates;
  /** After the attention. */
  readonly between: HiddenStates;
  readonly after: HiddenStates;
}

/** Computes the layers in order. Close it when done; kept states are left open. */
export class DenseLayers {
  readonly #batches: readonly Batch[];
  readonly #kept: KeptStates | null;
  readonly #options: JobOptions;
  readonly #block: LayerProgram;
  readonly #attention: LayerProgram;
  readonly #between: HiddenStates;
  /** Own states before and after the layer; null while they are kept. */
  #own: { readonly before: HiddenStates; readonly after: HiddenStates } | null = null;

  private constructor(
    checkpoint: Checkpoint,
    batches: readonly Batch[],
    kept: KeptStates | null,
    between: HiddenStates,
    options: JobOptions,
  ) {
    this.#batches = batches;
    this.#kept = kept;
    this.#options = options;
    this.#block = new LayerProgram(checkpoint, batches, { part: "block", attentionStream: true });
    this.#attention = new LayerProgram(checkpoint, batches, { part: "attention" });
    this.#between = between;
  }

  /** @param spills whether states that are not kept live in a scratch file. */
  static async open(
    checkpoint: Checkpoint,
    batches: readonly Batch[],
    kept: KeptStates | null,
    spills: boolean,
    options: JobOptions,
  ): Promise<DenseLayers> {
    const { hiddenSize, numHiddenLayers } = checkpoint.config;
    const isKept = kept !== null && kept.before(numHiddenLayers, batches) !== null;
    const between = await openStates(batches, hiddenSize, spills);
    const layers = new DenseLayers(checkpoint, batches, isKept ? kept : null, between, options);
    try {
      if (!isKept) {
        const before = await embedBatches(checkpoint, batches, spills, options);
        layers.#own = { before, after: await openStates(batches, hiddenSize, spills) };
      }
      return layers;
    } catch (error) {
      await layers.close();
      throw error;
    }
  }

  /** The stream before a layer, which is the first or follows the last one that was computed. */
  before(layer: number): HiddenStates {
    return this.#own?.before ?? this.#kept!.before(layer, this.#batches)!;
  }

  /** The streams around a layer. They are valid until the next call. */
  async layer(layer: number): Promise<DenseLayer> {
    const own = this.#own;
    const between = this.#between;
    const program = own === null ? this.#attention : this.#block;
    const before = this.before(layer);
    const onBatch = (_batch: Batch, { attentionStream }: BlockOutputs, number: number): Promise<void> =>
      between.set(number, attentionStream!);
    const block = await program.readWeights(layer);
    await program.runLayer(layer, block, before, own?.after ?? null, () => ({}), onBatch, this.#options);
    if (own === null) return { before, between, after: this.#kept!.before(layer + 1, this.#batches)! };
    this.#own = { before: own.after, after: own.before };
    return { before, between, after: own.after };
  }

  async close(): Promise<void> {
    for (const states of [this.#between, this.#own?.before, this.#own?.after]) await states?.close();
    await this.#block.close();
    await this.#attention.close();
  }
}
