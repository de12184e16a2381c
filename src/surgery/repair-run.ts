/**
 * @file One layer of repair after the other: the dense and the pruned model side by side, and in each layer, in the order of its arithmetic, the
 * fits that bring the pruned residual stream back to the dense one. Source: architecture, "Repair".
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { BlockRole } from "../families/roles.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { makeBatches } from "../model/batches.ts";
import type { Batch } from "../model/batches.ts";
import { POST_NORMS } from "../model/block-fit.ts";
import type { FitRole } from "../model/block-fit.ts";
import { MATRIX_INPUTS as REPAIR_STEPS } from "../model/block-inputs.ts";
import type { MatrixInput as RepairStep } from "../model/block-inputs.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import { LayerProgram } from "../model/layer-program.ts";
import type { BlockOutputs, BlockWeights } from "../model/layer-program.ts";
import { planMemory } from "../model/memory-plan.ts";
import type { Feed } from "../model/sessions.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { asWeightSource } from "./expert.ts";
import type { Expert } from "./expert.ts";
import { ImportanceSums } from "./importance.ts";
import type { LayerImportances } from "./importance.ts";
import { Products } from "./products.ts";
import { NormalEquations, fitMatrix, fromStream, towardsStream } from "./repair-fit.ts";
import type { Fit } from "./repair-fit.ts";
import { closeRepairStates, openRepairStates } from "./repair-states.ts";
import type { RepairStates } from "./repair-states.ts";
import { StreamSums } from "./stream-fit.ts";

/** The steps of a layer's repair, in their order; each fits a sublayer's input (all matrices that read it) or its output matrix. */
export { REPAIR_STEPS };
export type { RepairStep };

/** Matrices that a step changes: those that multiply the input that it is named after. */
export const FITTED_MATRICES: Readonly<Record<RepairStep, readonly BlockRole[]>> = {
  attentionInput: ["q", "k", "v"],
  o: ["o"],
  ffnInput: ["gate", "up"],
  down: ["down"],
};

/** One document in this many chooses the ridge's strength; the others are fitted. */
const HELD_BACK_EVERY = 5;

/**
 * The steps of a layer. Nothing is to be mended before the first cut, nor what that layer is fed. The attention's output is fitted only where
 * it was cut: elsewhere what its input's fit leaves is out of its reach (docs/LOG.md).
 */
export function stepsOf({ layers }: PrunePlan, layer: number): readonly RepairStep[] {
  const first = layers.findIndex(({ cuts }) => Object.keys(cuts).length > 0);
  if (first < 0 || layer < first) return [];
  const cutsAttention = Object.entries(layers[layer]!.cuts).some(([kind, cut]) => !FFN_CUTS.has(kind) && cut.removed.length > 0);
  return REPAIR_STEPS.filter((step) => {
    switch (step) {
      case "attentionInput":
        return layer > first;
      case "o":
        return cutsAttention;
      case "ffnInput":
        return layer > first || cutsAttention;
      case "down":
        return true;
      default:
        throw step satisfies never;
    }
  });
}

const FFN_CUTS: ReadonlySet<string> = new Set(["ffn", "matrix:gate", "matrix:up", "matrix:down"]);

/** What repair made of a layer. */
export interface LayerRepair {
  /** By role, in f32, [out, in]. */
  readonly matrices: ReadonlyMap<BlockRole, Float32Array<ArrayBuffer>>;
  /** By step: strength (NaN where nothing was changed), and the share of the error that remains, [2]. */
  readonly reports: ReadonlyMap<RepairStep, Float32Array<ArrayBuffer>>;
  /** Of all matrices, those that no step changed among them: what the repaired model feeds them. */
  readonly importances: LayerImportances;
}

type Shape = Awaited<ReturnType<LayerProgram["readWeights"]>>["shape"];

/** A layer's weights. */
interface Block {
  readonly layer: number;
  readonly shape: Shape;
  readonly weights: BlockWeights;
}

/** The dense residual stream around a sublayer. */
interface DenseSublayer {
  readonly before: HiddenStates;
  readonly after: HiddenStates;
}

/** A layer under repair. */
interface Bench extends Block {
  /** As they are so far. */
  readonly weights: Map<BlockRole, Feed>;
}

/** The two models side by side, one layer further whenever the next layer's matrices are asked for. */
export class RepairRun {
  readonly #batches: readonly Batch[];
  /** Batches from this number on are held back. */
  readonly #firstHeldBack: number;
  readonly #dense: LayerProgram;
  readonly #attention: LayerProgram;
  readonly #ffn: LayerProgram;
  readonly #fits: Readonly<Record<FitRole, LayerProgram>>;
  readonly #products: Products;
  readonly #streams: StreamSums;
  readonly #options: JobOptions;
  readonly #layerCount: number;
  readonly #states: RepairStates;
  #current: { readonly layer: number; readonly repair: LayerRepair } | null = null;

  private constructor(
    checkpoint: Checkpoint,
    expert: Expert,
    batches: readonly Batch[],
    firstHeldBack: number,
    states: RepairStates,
    products: Products,
    streams: StreamSums,
    options: JobOptions,
  ) {
    const pruned = asWeightSource(expert);
    this.#batches = batches;
    this.#firstHeldBack = firstHeldBack;
    this.#dense = new LayerProgram(checkpoint, batches, { attentionStream: "beside" });
    this.#attention = new LayerProgram(pruned, batches, { attentionStream: "only", inputSquares: true });
    this.#ffn = new LayerProgram(pruned, batches, { from: "attentionStream", inputSquares: true });
    this.#fits = {
      o: new LayerProgram(pruned, batches, { fit: "o" }),
      down: new LayerProgram(pruned, batches, { from: "attentionStream", fit: "down" }),
    };
    this.#products = products;
    this.#streams = streams;
    this.#options = options;
    this.#layerCount = checkpoint.config.numHiddenLayers;
    this.#states = states;
  }

  static async create(
    checkpoint: Checkpoint,
    expert: Expert,
    documents: readonly TokenDocument[],
    options: JobOptions,
  ): Promise<RepairRun> {
    const isHeldBack = (index: number): boolean =>
      index % HELD_BACK_EVERY === HELD_BACK_EVERY - 1 || (documents.length <= HELD_BACK_EVERY && index === documents.length - 1);
    const { config } = checkpoint;
    const lengths = documents.map(({ tokens }) => tokens.length);
    const { batchTokens, spills } = planMemory(
      { stage: "repairing", config, lengths, expert: expert.config },
      options.memoryLimit,
    );
    const partition = (held: boolean): readonly Batch[] =>
      makeBatches(
        documents.filter((_, index) => isHeldBack(index) === held),
        batchTokens,
      );
    const training = partition(false);
    const batches = [...training, ...partition(true)];
    const products = await Products.create();
    const streams = await StreamSums.create(config.hiddenSize, config.rmsNormEps);
    // Last, since what may be a file on disk is to be closed by the run.
    const states = await openRepairStates(checkpoint, batches, spills, options);
    return new RepairRun(checkpoint, expert, batches, training.length, states, products, streams, options);
  }

  /** Fits a layer's matrices; layers are to be asked for in order, each any number of times. */
  async layer(layer: number, steps: readonly RepairStep[]): Promise<LayerRepair> {
    if (this.#current?.layer !== layer) {
      for (let next = (this.#current?.layer ?? -1) + 1; next < layer; next++) await this.#repairLayer(next, []);
      this.#current = { layer, repair: await this.#repairLayer(layer, steps) };
    }
    return this.#current.repair;
  }

  async close(): Promise<void> {
    await closeRepairStates(this.#states);
    for (const program of [this.#dense, this.#attention, this.#ffn, this.#fits.o, this.#fits.down]) await program.close();
    await this.#products.close();
    await this.#streams.close();
  }

  async #repairLayer(layer: number, steps: readonly RepairStep[]): Promise<LayerRepair> {
    const { before, after, between, pruned, prunedBetween } = this.#states;
    const denseBlock = { layer, ...(await this.#dense.readWeights(layer)) };
    await this.#run(this.#dense, denseBlock, before, after, (number, outputs) =>
      between.set(number, outputs["attentionStream"]!),
    );
    const { shape, weights } = await this.#attention.readWeights(layer);
    const bench: Bench = { layer, shape, weights: new Map(weights) };
    const matrices = new Map<BlockRole, Float32Array<ArrayBuffer>>();
    const reports = new Map<RepairStep, Float32Array<ArrayBuffer>>();
    const doStep = async (step: RepairStep, fit: () => Promise<Fit>): Promise<void> => {
      if (!steps.includes(step)) return;
      reports.set(step, reportOf(await fit()));
      for (const role of FITTED_MATRICES[step]) matrices.set(role, bench.weights.get(role)!.data as Float32Array<ArrayBuffer>);
    };
    const sums = new ImportanceSums();
    await doStep("attentionInput", () => this.#fitInput(bench, "attentionInput", "attentionNorm", pruned, before));
    await doStep("o", () => this.#fitOutput(bench, "o", pruned, { before, after: between }));
    await this.#run(this.#attention, bench, pruned, null, (number, outputs) => {
      sums.add(outputs);
      return prunedBetween.set(number, outputs["attentionStream"]!);
    });
    await doStep("ffnInput", () => this.#fitInput(bench, "ffnInput", "ffnNorm", prunedBetween, between));
    await doStep("down", () => this.#fitOutput(bench, "down", prunedBetween, { before: between, after }));
    await this.#run(this.#ffn, bench, prunedBetween, pruned, (_number, outputs) => sums.add(outputs));
    Object.assign(this.#states, { before: after, after: before });
    const tokens = this.#batches.reduce((count, { mask }) => mask.reduce((sum, real) => sum + real, count), 0);
    this.#options.onProgress?.({ stage: "repairing", done: layer + 1, total: this.#layerCount, unit: "layers" });
    return { matrices, reports, importances: sums.means(tokens) };
  }

  /**
   * Fits an output matrix: leaves it in the bench's weights.
   * @param inputs what its program reads.
   * @param dense the dense stream before and after the sublayer.
   */
  async #fitOutput(bench: Bench, role: FitRole, inputs: HiddenStates, dense: DenseSublayer): Promise<Fit> {
    const kept = bench.weights.get(role)!;
    const postNorm = bench.weights.get(POST_NORMS[role]);
    const [training, heldBack] = await this.#outputEquations(bench, role, inputs, dense);
    const fit = await fitMatrix(this.#products, training, heldBack, towardsStream(kept, postNorm));
    if (fit.strength !== null) bench.weights.set(role, fromStream(fit.weights, kept, postNorm));
    return fit;
  }

  /** Fits the matrices that read a sublayer's input: leaves them in the bench's weights. */
  async #fitInput(bench: Bench, step: RepairStep, norm: BlockRole, pruned: HiddenStates, dense: HiddenStates): Promise<Fit> {
    const D = bench.shape.hiddenSize;
    const equations = this.#emptyEquations(D, D);
    for (const [number, batch] of this.#batches.entries()) {
      const sums = equations[number < this.#firstHeldBack ? 0 : 1];
      await this.#streams.addTo(sums, batch, await pruned.get(number), await dense.get(number), bench.weights.get(norm)!);
    }
    const identity = new Float64Array(D * D);
    for (let i = 0; i < D; i++) identity[i * D + i] = 1;
    const fit = await fitMatrix(this.#products, ...equations, identity);
    if (fit.strength === null) return fit;
    for (const role of FITTED_MATRICES[step]) {
      const { data, shape } = bench.weights.get(role)!;
      const rows = shape[0]!;
      const product = await this.#products.run(
        "transposeSecond",
        Float64Array.from(data as Float32Array),
        fit.weights,
        rows,
        D,
        D,
      );
      bench.weights.set(role, { data: Float32Array.from(product), shape });
    }
    return fit;
  }

  /** For the training and for the held-back documents, in the place of those before. */
  #emptyEquations(n: number, D: number): readonly [NormalEquations, NormalEquations] {
    const of = (documents: string): NormalEquations =>
      new NormalEquations(n, D, (name, size) => this.#products.room(`${name} of ${documents}`, size));
    return [of("training"), of("held back")];
  }

  /** Sums over the training and over the held-back documents. */
  async #outputEquations(
    bench: Bench,
    role: FitRole,
    inputs: HiddenStates,
    dense: DenseSublayer,
  ): Promise<readonly [NormalEquations, NormalEquations]> {
    const [D, n] = bench.weights.get(role)!.shape as [number, number];
    const [training, heldBack] = this.#emptyEquations(n, D);
    await this.#fits[role].runLayer(
      bench.layer,
      bench,
      inputs,
      null,
      async (number) => {
        const { documents, length } = this.#batches[number]!;
        const data = bench.weights.has(POST_NORMS[role])
          ? await targetBehindNorm(number, inputs, dense)
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

  async #run(
    program: LayerProgram,
    block: Block,
    from: HiddenStates,
    to: HiddenStates | null,
    onBatch: (number: number, outputs: BlockOutputs) => void | Promise<void>,
  ): Promise<void> {
    await program.runLayer(
      block.layer,
      block,
      from,
      to,
      () => ({}),
      (_batch, outputs, number) => onBatch(number, outputs),
      this.#options,
    );
  }
}

/**
 * The stream that is wanted behind a post norm: the pruned one with what the dense sublayer adds to its own. What earlier layers left is not asked for there: where the norm's
 * weight is small it would take large weights, whose share in the norm's denominator shrinks all others (docs/LOG.md).
 */
async function targetBehindNorm(number: number, inputs: HiddenStates, dense: DenseSublayer): Promise<Float32Array<ArrayBuffer>> {
  const [stream, before, after] = [await inputs.get(number), await dense.before.get(number), await dense.after.get(number)];
  return after.map((value, index) => value + stream[index]! - before[index]!);
}

function reportOf({ strength, errorBefore, errorAfter }: Fit): Float32Array<ArrayBuffer> {
  return Float32Array.of(strength ?? Number.NaN, errorBefore === 0 ? 1 : errorAfter / errorBefore);
}
