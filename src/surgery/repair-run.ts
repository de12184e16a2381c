/**
 * @file Repair, layer by layer: the dense and the pruned model run side by side, and in each layer, in the order of its
 * arithmetic, matrices are fitted so that the pruned residual stream follows the dense one again.
 * Source: docs/architecture.md, "Repair".
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { MatrixRole, OutputRole } from "../families/roles.ts";
import type { JobOptions } from "../progress.ts";
import { makeBatches } from "../model/batches.ts";
import type { Batch } from "../model/batches.ts";
import { innerSize } from "../model/block-shape.ts";
import type { KeptStates } from "../model/kept-states.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import { type LayeredJobOptions, type LayerJournal, NO_JOURNAL, type StepResult } from "../model/layer-journal.ts";
import { LayerProgram } from "../model/layer-program.ts";
import type { Block, BlockOutputs } from "../model/layer-program.ts";
import { planMemory } from "../model/memory-plan.ts";
import type { Feed } from "../model/sessions.ts";
import { DenseLayers } from "./dense-layers.ts";
import { asWeightSource } from "./expert.ts";
import type { Expert } from "./expert.ts";
import { ImportanceSums } from "./importance.ts";
import { checkFinite, fromStepResult, type LayerRepair, toStepResult } from "./layer-repair.ts";
import type { Fit } from "./repair-fit.ts";
import { closeRepairStates, openRepairStates } from "./repair-states.ts";
import type { RepairStates } from "./repair-states.ts";
import type { RepairDocuments } from "./repair-documents.ts";
import { FITTED_MATRICES, type RepairStep } from "./repair-steps.ts";
import type { BatchStreams } from "./output-targets.ts";
import { type FitBatches, type LayerUnderRepair, type OutputFit, SublayerFits } from "./sublayer-fits.ts";

/** The two models side by side. They advance by a layer whenever the next layer's matrices are requested. */
export class RepairRun {
  readonly #checkpoint: Checkpoint;
  readonly #documents: FitBatches;
  readonly #dense: DenseLayers;
  /** Of the pruned model: up to each output matrix, and from there on. */
  readonly #inner: Readonly<Record<OutputRole, LayerProgram>>;
  readonly #output: Readonly<Record<OutputRole, LayerProgram>>;
  readonly #fits: SublayerFits;
  readonly #options: JobOptions;
  readonly #journal: LayerJournal;
  readonly #states: RepairStates;
  #current: { readonly layer: number; readonly repair: LayerRepair } | null = null;

  private constructor(
    checkpoint: Checkpoint,
    expert: Expert,
    documents: FitBatches,
    dense: DenseLayers,
    states: RepairStates,
    { journal = NO_JOURNAL, ...options }: LayeredJobOptions,
  ) {
    const { batches } = documents;
    const pruned = asWeightSource(expert);
    const inner = (matrix: OutputRole): LayerProgram =>
      new LayerProgram(pruned, batches, { part: "inner", matrix, from: "sublayer", inputSquares: true });
    const output = (matrix: OutputRole): LayerProgram => new LayerProgram(pruned, batches, { part: "output", matrix });
    this.#checkpoint = checkpoint;
    this.#documents = documents;
    this.#dense = dense;
    this.#inner = { o: inner("o"), down: inner("down") };
    this.#output = { o: output("o"), down: output("down") };
    this.#fits = new SublayerFits(documents, checkpoint.config);
    this.#options = options;
    this.#journal = journal;
    this.#states = states;
  }

  /**
   * @param kept the dense model's states, if scoring has kept them. They are left open.
   * @param options the steps of the journal are the layers.
   */
  static async create(
    checkpoint: Checkpoint,
    expert: Expert,
    { documents, heldBack }: RepairDocuments,
    kept: KeptStates | null,
    options: LayeredJobOptions,
  ): Promise<RepairRun> {
    const { config } = checkpoint;
    const lengths = documents.map(({ tokens }) => tokens.length);
    const { batchTokens, spills } = planMemory(
      { stage: "repairing", config, lengths, expert: expert.config },
      options.memoryLimit,
    );
    const batches = makeBatches(documents, batchTokens);
    const done = (await options.journal?.resume(batches)) ?? 0;
    const dense = await DenseLayers.open(checkpoint, batches, done > 0 ? null : kept, spills, options);
    let run: RepairRun | null = null;
    try {
      const states = await openRepairStates(expert.config, batches, dense.before(0), spills);
      run = new RepairRun(checkpoint, expert, { batches, lengths, heldBack }, dense, states, options);
      if (done > 0) await options.journal!.restore(run.#streams(done));
      return run;
    } catch (error) {
      await (run ?? dense).close();
      throw error;
    }
  }

  /** Fits a layer's matrices. Layers must be requested in order, each any number of times. */
  async layer(layer: number, steps: readonly RepairStep[]): Promise<LayerRepair> {
    if (this.#current?.layer !== layer) {
      for (let next = (this.#current?.layer ?? -1) + 1; next < layer; next++) await this.#advance(next, []);
      this.#current = { layer, repair: await this.#advance(layer, steps) };
    }
    return this.#current.repair;
  }

  async close(): Promise<void> {
    await closeRepairStates(this.#states);
    await this.#dense.close();
    const programs = [...Object.values(this.#inner), ...Object.values(this.#output)];
    for (const program of programs) await program.close();
    await this.#fits.close();
  }

  async #advance(layer: number, steps: readonly RepairStep[]): Promise<LayerRepair> {
    const make = async (): Promise<StepResult> => {
      const repair = await this.#repairLayer(layer, steps);
      checkFinite(this.#checkpoint, layer, repair);
      return toStepResult(repair);
    };
    const repair = fromStepResult(await this.#journal.step(layer, make, () => this.#streams(layer + 1)));
    for (const [step, [strength]] of repair.reports) this.#fits.recall(step, strength!);
    return repair;
  }

  /** All that a layer begins with. */
  #streams(layer: number): readonly HiddenStates[] {
    return [this.#dense.before(layer), this.#states.stream];
  }

  async #repairLayer(layer: number, steps: readonly RepairStep[]): Promise<LayerRepair> {
    const { before, between, after } = await this.#dense.layer(layer);
    const { stream, between: prunedBetween } = this.#states;
    const { shape, weights } = await this.#inner.o.readWeights(layer);
    const repaired: LayerUnderRepair = { shape, weights: new Map(weights) };
    const matrices = new Map<MatrixRole, Float32Array<ArrayBuffer>>();
    const reports = new Map<RepairStep, Float32Array<ArrayBuffer>>();
    const keep = (step: RepairStep, fit: Fit): void => {
      reports.set(step, reportOf(fit));
      for (const role of FITTED_MATRICES[step]) matrices.set(role, repaired.weights.get(role)!.data as Float32Array<ArrayBuffer>);
    };
    const sums = new ImportanceSums();
    const sublayers = [
      ["attentionInput", "o", { pruned: stream, before, after: between }, prunedBetween],
      ["ffnInput", "down", { pruned: prunedBetween, before: between, after }, stream],
    ] as const;
    for (const [input, output, streams, next] of sublayers) {
      if (steps.includes(input)) keep(input, await this.#fits.fitInput(repaired, input, streams.pruned, streams.before));
      const fit = steps.includes(output) ? this.#fits.beginOutput(repaired, output) : null;
      await this.#runInner(layer, repaired, output, streams, fit, sums);
      if (fit !== null) keep(output, await fit.finish());
      await this.#runOutput(layer, repaired, output, streams.pruned, next);
    }
    const tokens = this.#documents.lengths.reduce((sum, length) => sum + length, 0);
    this.#options.onProgress?.({
      stage: "repairing",
      done: layer + 1,
      total: this.#checkpoint.config.numHiddenLayers,
      unit: "layers",
    });
    return { matrices, reports, importances: sums.means(tokens) };
  }

  /** Computes what an output matrix multiplies, and adds it to the matrix' fit if there is one. */
  async #runInner(
    layer: number,
    block: Block,
    matrix: OutputRole,
    streams: Readonly<Record<keyof BatchStreams, HiddenStates>>,
    fit: OutputFit | null,
    sums: ImportanceSums,
  ): Promise<void> {
    const onBatch = async (_batch: Batch, outputs: BlockOutputs, number: number): Promise<void> => {
      sums.add(outputs);
      const { inner, tokenScale } = outputs;
      if (fit !== null) {
        const pruned = await streams.pruned.get(number);
        const [before, after] = [await streams.before.get(number), await streams.after.get(number)];
        await fit.add(number, inner!, tokenScale ?? null, { pruned, before, after });
      }
      await this.#states.inner.set(number, inner!);
    };
    await this.#inner[matrix].runLayer(layer, block, streams.pruned, null, () => ({}), onBatch, this.#options);
  }

  async #runOutput(layer: number, block: Block, matrix: OutputRole, from: HiddenStates, to: HiddenStates): Promise<void> {
    const n = innerSize(block.shape, matrix);
    const innerOf = async (number: number): Promise<Readonly<Record<string, Feed>>> => {
      const { documents, length, tokens } = this.#documents.batches[number]!;
      const data = await this.#states.inner.get(number, tokens.length * n);
      return { inner: { data, shape: [documents.length, length, n] } };
    };
    await this.#output[matrix].runLayer(layer, block, from, to, innerOf, () => undefined, this.#options);
  }
}

function reportOf({ strength, errorBefore, errorAfter }: Fit): Float32Array<ArrayBuffer> {
  return Float32Array.of(strength ?? Number.NaN, errorBefore === 0 ? 1 : errorAfter / errorBefore);
}
