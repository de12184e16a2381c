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
import type { Block } from "../model/layer-program.ts";
import type { Feed } from "../model/sessions.ts";
import { addBatch, NormalEquations } from "./normal-equations.ts";
import { type BatchStreams, writeTargets } from "./output-targets.ts";
import { type Matrix, Products } from "./products.ts";
import { Projection } from "./projection.ts";
import { type Fit, fitMatrix, fromStream, RIDGE_STRENGTHS, towardsStream, USUAL_STRENGTH } from "./repair-fit.ts";
import { FITTED_MATRICES, INPUT_NORMS, type InputStep, type RepairStep } from "./repair-steps.ts";
import { StreamNorm } from "./stream-fit.ts";

/** A layer of the pruned model while its matrices are fitted, one step after the other. */
export interface LayerUnderRepair extends Block {
  readonly shape: BlockShape;
  /** As fitted so far. */
  readonly weights: Map<BlockRole, Feed>;
}

/** The documents of the fits, in batches. */
export interface FitBatches {
  readonly batches: readonly Batch[];
  /** Tokens of each document. */
  readonly lengths: readonly number[];
  /** Whether each document is held back from fitting, to choose the ridge's strength. */
  readonly heldBack: readonly boolean[];
}

/** Sums of the training documents and of those held back. */
type EquationPair = readonly [training: NormalEquations, heldBack: NormalEquations];

/** Compiled fits for the layers of one model. Close them when done. */
export class SublayerFits {
  readonly #documents: FitBatches;
  readonly #projection: Projection;
  readonly #products = new Products();
  readonly #norm: StreamNorm;
  /** The strength that each step chose last: the next layer nearly always chooses the same. */
  readonly #strengths = new Map<RepairStep, number>();

  constructor(documents: FitBatches, { hiddenSize, rmsNormEps }: Pick<ModelConfig, "hiddenSize" | "rmsNormEps">) {
    this.#documents = documents;
    this.#projection = new Projection(hiddenSize);
    this.#norm = new StreamNorm(this.#products, hiddenSize, rmsNormEps);
  }

  /**
   * Fits the matrices that read a sublayer's input, and leaves them in the layer's weights.
   * @param pruned residual stream of the pruned model before the sublayer; `dense`: the same for the dense model.
   */
  async fitInput(layer: LayerUnderRepair, step: InputStep, pruned: HiddenStates, dense: HiddenStates): Promise<Fit> {
    const { hiddenSize: D } = layer.shape;
    const norm = layer.weights.get(INPUT_NORMS[step]) ?? null;
    const equations = this.#emptyEquations(D);
    for (const number of this.#documents.batches.keys()) {
      const inputs = await this.#norm.rows(await pruned.get(number), norm, "pruned rows");
      const targets = await this.#norm.rows(await dense.get(number), norm, "dense rows");
      await this.#add(equations, number, inputs, targets, null);
    }
    const identity = new Float32Array(D * D);
    for (let i = 0; i < D; i++) identity[i * D + i] = 1;
    const fit = await this.#fit(step, equations, identity);
    if (fit.strength === null) return fit;
    for (const role of FITTED_MATRICES[step]) {
      const { data, shape } = layer.weights.get(role)!;
      const values = data as Matrix;
      const options = { transposeSecond: true } as const;
      const product = await this.#products.run(values, fit.weights, [shape[0]!, D, D], new Float32Array(values.length), options);
      layer.weights.set(role, { data: product, shape });
    }
    return fit;
  }

  /** Begins the fit of an output matrix; the one before it must be finished. */
  beginOutput(layer: LayerUnderRepair, role: OutputRole): OutputFit {
    const kept = layer.weights.get(role)!;
    const postNorm = layer.weights.get(POST_NORMS[role]);
    const equations = this.#emptyEquations(kept.shape[1]!);
    return {
      add: async (number, inner, tokenScale, streams) => {
        const targets = writeTargets(
          layer.weights,
          role,
          streams,
          this.#products.room("targets of a batch", streams.pruned.length),
        );
        await this.#add(equations, number, inner, targets, tokenScale);
      },
      finish: async () => {
        const fit = await this.#fit(role, equations, towardsStream(kept, postNorm));
        if (fit.strength !== null) layer.weights.set(role, fromStream(fit.weights, kept, postNorm));
        return fit;
      },
    };
  }

  /**
   * Begins the next search of a step at a strength that an earlier layer chose.
   * @param strength as f32; NaN if the layer chose none.
   */
  recall(step: RepairStep, strength: number): void {
    const chosen = RIDGE_STRENGTHS.find((each) => Math.fround(each) === strength);
    if (chosen !== undefined) this.#strengths.set(step, chosen);
  }

  /** Frees the sessions. */
  async close(): Promise<void> {
    await this.#norm.close();
    await this.#products.close();
  }

  /** They take the place of those that the last call returned. */
  #emptyEquations(n: number): EquationPair {
    const of = (documents: string): NormalEquations => new NormalEquations(this.#products, documents, n, this.#projection);
    return [of("training"), of("held back")];
  }

  /** Adds the real tokens of a batch. */
  async #add(equations: EquationPair, number: number, inputs: Matrix, targets: Matrix, scale: Matrix | null): Promise<void> {
    const { batches, lengths, heldBack } = this.#documents;
    const sumsOf = (document: number): NormalEquations => equations[heldBack[document]! ? 1 : 0];
    await addBatch(sumsOf, batches[number]!, lengths, inputs, targets, scale);
  }

  async #fit(step: RepairStep, [training, heldBack]: EquationPair, kept: Matrix): Promise<Fit> {
    await training.finish();
    await heldBack.finish();
    const first = this.#strengths.get(step) ?? USUAL_STRENGTH;
    const fit = await fitMatrix(this.#products, training, heldBack, this.#projection, kept, first);
    if (fit.strength !== null) this.#strengths.set(step, fit.strength);
    return fit;
  }
}

/** The fit of an output matrix, batch by batch. */
export interface OutputFit {
  /**
   * Adds a batch.
   * @param inner what the matrix multiplies, [B, T, n]; `tokenScale` [B, T] or null, see `InnerRequest`.
   */
  add(number: number, inner: Matrix, tokenScale: Matrix | null, streams: BatchStreams): Promise<void>;
  /** Fits the matrix, and leaves it in the layer's weights. */
  finish(): Promise<Fit>;
}
