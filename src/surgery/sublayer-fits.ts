/**
 * @file The fits of one sublayer of the pruned model: of the matrices that read its input, and of its output matrix.
 * Each is fitted on the training documents, and kept only if it lowers the error on the documents that are held back.
 * Source: docs/architecture.md, "Repair".
 */

import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { type BlockRole, type OutputRole, POST_NORMS } from "../families/roles.ts";
import type { Batch } from "../model/batches.ts";
import type { BlockShape } from "../model/block-shape.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import { type Block, LayerProgram, type WeightSource } from "../model/layer-program.ts";
import type { Feed } from "../model/sessions.ts";
import type { JobOptions } from "../progress.ts";
import { Products } from "./products.ts";
import { type Fit, fitMatrix, fromStream, NormalEquations, towardsStream } from "./repair-fit.ts";
import { FITTED_MATRICES, INPUT_NORMS, type InputStep } from "./repair-steps.ts";
import { StreamSums } from "./stream-fit.ts";

/** A layer of the pruned model while its matrices are fitted, one step after the other. */
export interface LayerUnderRepair extends Block {
  readonly layer: number;
  readonly shape: BlockShape;
  /** As fitted so far. */
  readonly weights: Map<BlockRole, Feed>;
}

/** Batches of documents: those to fit on, followed by those that are held back. */
export interface FitBatches {
  readonly batches: readonly Batch[];
  /** Batches from this number on are held back. */
  readonly firstHeldBack: number;
}

/** The dense residual stream around a sublayer. */
export interface DenseSublayer {
  readonly before: HiddenStates;
  readonly after: HiddenStates;
}

/** Equations of the training documents and of those held back. */
type EquationPair = readonly [training: NormalEquations, heldBack: NormalEquations];

/** Compiled fits for the layers of one model. Close them when done. */
export class SublayerFits {
  readonly #batches: readonly Batch[];
  readonly #firstHeldBack: number;
  readonly #outputs: Readonly<Record<OutputRole, LayerProgram>>;
  readonly #products: Products;
  readonly #streams: StreamSums;
  readonly #options: JobOptions;

  private constructor(
    pruned: WeightSource,
    { batches, firstHeldBack }: FitBatches,
    products: Products,
    streams: StreamSums,
    options: JobOptions,
  ) {
    this.#batches = batches;
    this.#firstHeldBack = firstHeldBack;
    this.#outputs = {
      o: new LayerProgram(pruned, batches, { part: "fit", matrix: "o", from: "block" }),
      down: new LayerProgram(pruned, batches, { part: "fit", matrix: "down", from: "attentionStream" }),
    };
    this.#products = products;
    this.#streams = streams;
    this.#options = options;
  }

  /** Compiles what does not depend on a layer. */
  static async create(
    pruned: WeightSource,
    { hiddenSize, rmsNormEps }: Pick<ModelConfig, "hiddenSize" | "rmsNormEps">,
    batches: FitBatches,
    options: JobOptions,
  ): Promise<SublayerFits> {
    const products = await Products.create();
    const streams = new StreamSums(hiddenSize, rmsNormEps);
    return new SublayerFits(pruned, batches, products, streams, options);
  }

  /**
   * Fits the matrices that read a sublayer's input, and leaves them in the layer's weights.
   * @param pruned residual stream of the pruned model before the sublayer; `dense`: the same for the dense model.
   */
  async fitInput(layer: LayerUnderRepair, step: InputStep, pruned: HiddenStates, dense: HiddenStates): Promise<Fit> {
    const { hiddenSize: D } = layer.shape;
    const norm = layer.weights.get(INPUT_NORMS[step]) ?? null;
    const equations = this.#emptyEquations(D, D);
    for (const [number, batch] of this.#batches.entries()) {
      const sums = equations[number < this.#firstHeldBack ? 0 : 1];
      await this.#streams.addTo(sums, batch, await pruned.get(number), await dense.get(number), norm);
    }
    const identity = new Float64Array(D * D);
    for (let i = 0; i < D; i++) identity[i * D + i] = 1;
    const fit = await fitMatrix(this.#products, ...equations, identity);
    if (fit.strength === null) return fit;
    for (const role of FITTED_MATRICES[step]) {
      const { data, shape } = layer.weights.get(role)!;
      const rows = shape[0]!;
      const values = Float64Array.from(data as Float32Array);
      const product = await this.#products.run("transposeSecond", values, fit.weights, rows, D, D);
      layer.weights.set(role, { data: Float32Array.from(product), shape });
    }
    return fit;
  }

  /**
   * Fits an output matrix, and leaves it in the layer's weights.
   * @param inputs the pruned residual stream: before the block for o, after the attention for down.
   * @param dense the dense stream before and after the sublayer.
   */
  async fitOutput(layer: LayerUnderRepair, role: OutputRole, inputs: HiddenStates, dense: DenseSublayer): Promise<Fit> {
    const kept = layer.weights.get(role)!;
    const postNorm = layer.weights.get(POST_NORMS[role]);
    const [training, heldBack] = await this.#outputEquations(layer, role, inputs, dense);
    const fit = await fitMatrix(this.#products, training, heldBack, towardsStream(kept, postNorm));
    if (fit.strength !== null) layer.weights.set(role, fromStream(fit.weights, kept, postNorm));
    return fit;
  }

  /** Frees the sessions. */
  async close(): Promise<void> {
    for (const program of Object.values(this.#outputs)) await program.close();
    await this.#products.close();
    await this.#streams.close();
  }

  /** They take the place of those that the last call returned. */
  #emptyEquations(n: number, D: number): EquationPair {
    const of = (documents: string): NormalEquations =>
      new NormalEquations(n, D, (name, size) => this.#products.room(`${name} of ${documents}`, size));
    return [of("training"), of("held back")];
  }

  async #outputEquations(
    layer: LayerUnderRepair,
    role: OutputRole,
    inputs: HiddenStates,
    dense: DenseSublayer,
  ): Promise<EquationPair> {
    const [D, n] = layer.weights.get(role)!.shape as [number, number];
    const [training, heldBack] = this.#emptyEquations(n, D);
    await this.#outputs[role].runLayer(
      layer.layer,
      layer,
      inputs,
      null,
      async (number) => {
        const { documents, length } = this.#batches[number]!;
        const data = layer.weights.has(POST_NORMS[role])
          ? await targetAfterNorm(number, inputs, dense)
          : await dense.after.get(number);
        return { target: { data, shape: [documents.length, length, D] } };
      },
      (_batch, { gram, cross, targetEnergy }, number) => {
        const equations = number < this.#firstHeldBack ? training : heldBack;
        equations.add({ gram: gram!, cross: cross!, targetEnergy: targetEnergy! });
      },
      this.#options,
    );
    return [training, heldBack];
  }
}

/**
 * The wanted stream after a sublayer with a post norm: the pruned stream before it plus the dense sublayer's
 * contribution. It does not include the error of earlier layers: where the norm's weight is small, correcting that
 * would take large weights, whose share in the norm's denominator shrinks all others (docs/LOG.md).
 */
async function targetAfterNorm(number: number, inputs: HiddenStates, dense: DenseSublayer): Promise<Float32Array<ArrayBuffer>> {
  const [stream, before, after] = [await inputs.get(number), await dense.before.get(number), await dense.after.get(number)];
  return after.map((value, index) => value + stream[index]! - before[index]!);
}
