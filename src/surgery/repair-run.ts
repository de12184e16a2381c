/**
 * @file Repair, layer by layer: the dense and the pruned model run side by side, and in each layer, in the order of its
 * arithmetic, matrices are fitted so that the pruned residual stream follows the dense one again.
 * Source: docs/architecture.md, "Repair".
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { BlockRole } from "../families/roles.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { makeBatches } from "../model/batches.ts";
import type { Batch } from "../model/batches.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import { LayerProgram } from "../model/layer-program.ts";
import type { Block, BlockOutputs } from "../model/layer-program.ts";
import { planMemory } from "../model/memory-plan.ts";
import { asWeightSource } from "./expert.ts";
import type { Expert } from "./expert.ts";
import { ImportanceSums } from "./importance.ts";
import type { LayerImportances } from "./importance.ts";
import type { Fit } from "./repair-fit.ts";
import { closeRepairStates, openRepairStates } from "./repair-states.ts";
import type { RepairStates } from "./repair-states.ts";
import { FITTED_MATRICES, type RepairStep } from "./repair-steps.ts";
import { type FitBatches, type LayerUnderRepair, SublayerFits } from "./sublayer-fits.ts";

/** One document in this many chooses the ridge's strength; the others are fitted on. */
const HELD_BACK_EVERY = 5;

/** The result of repairing a layer. */
export interface LayerRepair {
  /** By role, in f32, [out, in]. */
  readonly matrices: ReadonlyMap<BlockRole, Float32Array<ArrayBuffer>>;
  /** By step, [2]: the strength (NaN if nothing was changed), and the share of the error that remains. */
  readonly reports: ReadonlyMap<RepairStep, Float32Array<ArrayBuffer>>;
  /** Importances of the columns of all matrices, including those that no step changed, in the repaired model. */
  readonly importances: LayerImportances;
}

/** The two models side by side. They advance by a layer whenever the next layer's matrices are requested. */
export class RepairRun {
  readonly #batches: readonly Batch[];
  readonly #dense: LayerProgram;
  readonly #attention: LayerProgram;
  readonly #ffn: LayerProgram;
  readonly #fits: SublayerFits;
  readonly #options: JobOptions;
  readonly #layerCount: number;
  readonly #states: RepairStates;
  #current: { readonly layer: number; readonly repair: LayerRepair } | null = null;

  private constructor(
    checkpoint: Checkpoint,
    expert: Expert,
    batches: readonly Batch[],
    states: RepairStates,
    fits: SublayerFits,
    options: JobOptions,
  ) {
    const pruned = asWeightSource(expert);
    this.#batches = batches;
    this.#dense = new LayerProgram(checkpoint, batches, { part: "block", attentionStream: true });
    this.#attention = new LayerProgram(pruned, batches, { part: "attention", inputSquares: true });
    this.#ffn = new LayerProgram(pruned, batches, { part: "ffn", inputSquares: true });
    this.#fits = fits;
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
    const { config } = checkpoint;
    const lengths = documents.map(({ tokens }) => tokens.length);
    const { batchTokens, spills } = planMemory(
      { stage: "repairing", config, lengths, expert: expert.config },
      options.memoryLimit,
    );
    const fitBatches = makeFitBatches(documents, batchTokens);
    const { batches } = fitBatches;
    const fits = await SublayerFits.create(asWeightSource(expert), config, fitBatches, options);
    // Last, since the run must close them: they may be files on disk.
    const states = await openRepairStates(checkpoint, batches, spills, options);
    return new RepairRun(checkpoint, expert, batches, states, fits, options);
  }

  /** Fits a layer's matrices. Layers must be requested in order, each any number of times. */
  async layer(layer: number, steps: readonly RepairStep[]): Promise<LayerRepair> {
    if (this.#current?.layer !== layer) {
      for (let next = (this.#current?.layer ?? -1) + 1; next < layer; next++) await this.#repairLayer(next, []);
      this.#current = { layer, repair: await this.#repairLayer(layer, steps) };
    }
    return this.#current.repair;
  }

  async close(): Promise<void> {
    await closeRepairStates(this.#states);
    for (const program of [this.#dense, this.#attention, this.#ffn]) await program.close();
    await this.#fits.close();
  }

  async #repairLayer(layer: number, steps: readonly RepairStep[]): Promise<LayerRepair> {
    const { before, after, between, pruned, prunedBetween } = this.#states;
    await this.#run(this.#dense, layer, await this.#dense.readWeights(layer), before, after, (number, outputs) =>
      between.set(number, outputs["attentionStream"]!),
    );
    const { shape, weights } = await this.#attention.readWeights(layer);
    const repaired: LayerUnderRepair = { layer, shape, weights: new Map(weights) };
    const matrices = new Map<BlockRole, Float32Array<ArrayBuffer>>();
    const reports = new Map<RepairStep, Float32Array<ArrayBuffer>>();
    const doStep = async (step: RepairStep, fit: () => Promise<Fit>): Promise<void> => {
      if (!steps.includes(step)) return;
      reports.set(step, reportOf(await fit()));
      for (const role of FITTED_MATRICES[step]) matrices.set(role, repaired.weights.get(role)!.data as Float32Array<ArrayBuffer>);
    };
    const sums = new ImportanceSums();
    await doStep("attentionInput", () => this.#fits.fitInput(repaired, "attentionInput", pruned, before));
    await doStep("o", () => this.#fits.fitOutput(repaired, "o", pruned, { before, after: between }));
    await this.#run(this.#attention, layer, repaired, pruned, null, (number, outputs) => {
      sums.add(outputs);
      return prunedBetween.set(number, outputs["attentionStream"]!);
    });
    await doStep("ffnInput", () => this.#fits.fitInput(repaired, "ffnInput", prunedBetween, between));
    await doStep("down", () => this.#fits.fitOutput(repaired, "down", prunedBetween, { before: between, after }));
    await this.#run(this.#ffn, layer, repaired, prunedBetween, pruned, (_number, outputs) => sums.add(outputs));
    Object.assign(this.#states, { before: after, after: before });
    const tokens = this.#batches.reduce((count, { mask }) => mask.reduce((sum, real) => sum + real, count), 0);
    this.#options.onProgress?.({ stage: "repairing", done: layer + 1, total: this.#layerCount, unit: "layers" });
    return { matrices, reports, importances: sums.means(tokens) };
  }

  async #run(
    program: LayerProgram,
    layer: number,
    block: Block,
    from: HiddenStates,
    to: HiddenStates | null,
    onBatch: (number: number, outputs: BlockOutputs) => void | Promise<void>,
  ): Promise<void> {
    await program.runLayer(
      layer,
      block,
      from,
      to,
      () => ({}),
      (_batch, outputs, number) => onBatch(number, outputs),
      this.#options,
    );
  }
}

/** Holds every fifth document back, or the last one if there are no more than five. */
function makeFitBatches(documents: readonly TokenDocument[], batchTokens: number): FitBatches {
  const isHeldBack = (index: number): boolean =>
    index % HELD_BACK_EVERY === HELD_BACK_EVERY - 1 || (documents.length <= HELD_BACK_EVERY && index === documents.length - 1);
  const batchesOf = (held: boolean): readonly Batch[] =>
    makeBatches(
      documents.filter((_, index) => isHeldBack(index) === held),
      batchTokens,
    );
  const training = batchesOf(false);
  return { batches: [...training, ...batchesOf(true)], firstHeldBack: training.length };
}

function reportOf({ strength, errorBefore, errorAfter }: Fit): Float32Array<ArrayBuffer> {
  return Float32Array.of(strength ?? Number.NaN, errorBefore === 0 ? 1 : errorAfter / errorBefore);
}
