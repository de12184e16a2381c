/**
 * @file How sensitive the model is to the loss of some units of one layer: each layer is cut alone, and its output
 * matrix is fitted again if the expert will be repaired. The later layers run unchanged, and the divergence of the
 * model's predictions from the dense model's is measured. Only forward passes are needed, and only one over the layers:
 * the hidden states of all trials so far go through a layer together, so that its weights are read once. The cost is
 * trials · documents · half the model, and a small solve per trial.
 * Source: docs/architecture.md, "Trial cuts".
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { makeBatches } from "../model/batches.ts";
import type { Batch } from "../model/batches.ts";
import { type BlockRequest, WHOLE_BLOCK } from "../model/block-request.ts";
import { type OutputRole, POST_NORMS } from "../families/roles.ts";
import { embedBatches, openStates } from "../model/embedding.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import { type LayeredJobOptions, type LayerJournal, NO_JOURNAL } from "../model/layer-journal.ts";
import { LayerProgram } from "../model/layer-program.ts";
import type { BlockOutputs, WeightSource } from "../model/layer-program.ts";
import { planMemory } from "../model/memory-plan.ts";
import { computeDivergences } from "../model/divergences.ts";
import { addBatch, NormalEquations } from "../surgery/normal-equations.ts";
import { writeTargets } from "../surgery/output-targets.ts";
import { Products } from "../surgery/products.ts";
import { Projection } from "../surgery/projection.ts";
import { fitRidge, fromStream, towardsStream } from "../surgery/repair-fit.ts";

/** A layer that is cut, and the model in which it is. */
export interface LayerTrial {
  readonly layer: number;
  readonly cut: WeightSource;
  /** The matrix that a repair of the cut would fit; null leaves it. */
  readonly repair: OutputRole | null;
}

/** The documents of a trial. */
export interface TrialDocuments {
  /** Those on which the damage is measured. */
  readonly measured: readonly TokenDocument[];
  /** Those on which the cut layer's output matrix is fitted. */
  readonly fitted: readonly TokenDocument[];
}

/** Ridge strength of a trial's repair: the one that repair chooses for nearly all matrices (docs/LOG.md). */
const TRIAL_STRENGTH = 1;

/** What `down` multiplies, from the stream before the block. */
const DOWN_FROM_BLOCK: BlockRequest = { part: "inner", matrix: "down", from: "block" };

/** Documents that matrices are fitted on, in batches. */
interface FittedDocuments {
  readonly batches: readonly Batch[];
  /** Tokens of each document. */
  readonly lengths: readonly number[];
}

type Block = Awaited<ReturnType<LayerProgram["readWeights"]>>;

/**
 * Kullback-Leibler divergence of the model with one cut layer from the dense model, in nats per token.
 * @param options the steps of the journal are the layers, and then the batches whose damage is read.
 * @returns [trials][measured documents], the mean over a document's tokens.
 * @throws CusprunError `MEMORY_LIMIT`; the errors of `Checkpoint.readFloat32` and `openHiddenStates`.
 */
export async function measureLayerDamage(
  checkpoint: Checkpoint,
  trials: readonly LayerTrial[],
  { measured, fitted }: TrialDocuments,
  { journal = NO_JOURNAL, ...options }: LayeredJobOptions,
): Promise<Float64Array[]> {
  const { config } = checkpoint;
  const { numHiddenLayers: L, hiddenSize: D } = config;
  const lengths = measured.map(({ tokens }) => tokens.length);
  const { batchTokens, spills } = planMemory(
    { stage: "trying cuts", config, lengths, trials: trials.length, repairs: fitted.length > 0 },
    options.memoryLimit,
  );
  const batches = makeBatches(measured, batchTokens);
  const fitBatches = makeBatches(fitted, batchTokens);
  const fittedIn = { batches: fitBatches, lengths: fitted.map(({ tokens }) => tokens.length) };
  const opened: HiddenStates[] = [];
  const keep = (states: HiddenStates): HiddenStates => {
    opened.push(states);
    return states;
  };
  const open = async (of: readonly Batch[]): Promise<HiddenStates> => keep(await openStates(of, D, spills));
  const first = async (of: readonly Batch[]): Promise<HiddenStates> =>
    resumed > 0 ? open(of) : keep(await embedBatches(checkpoint, of, spills, options));
  const states: (HiddenStates | null)[] = trials.map(() => null);
  const resumed = await journal.resume([...batches, ...fitBatches]);
  const resumedLayers = Math.min(resumed, L);
  const program = new LayerProgram(checkpoint, batches, WHOLE_BLOCK);
  const fitProgram = new LayerProgram(checkpoint, fitBatches, { part: "block", attentionStream: true });
  const products = new Products();
  const total = trials.reduce((sum, { layer }) => sum + L - layer, L);
  let done = trials.reduce((sum, { layer }) => sum + Math.max(0, resumedLayers - layer), resumedLayers);
  const run = async (by: LayerProgram, layer: number, block: Block, from: HiddenStates, to: HiddenStates): Promise<void> => {
    await runPlain(by, layer, block, from, to, null, options);
    options.onProgress?.({ stage: "trying cuts", done: ++done, total, unit: "layers" });
  };
  try {
    const whole = await first(batches);
    let before = await first(fitBatches);
    let after = await open(fitBatches);
    const between = await open(fitBatches);
    const moved = (): HiddenStates[] => [whole, before, ...states.filter((own) => own !== null)];
    if (resumed > 0) {
      for (const [index, { layer }] of trials.entries()) if (layer < resumed) states[index] = await open(batches);
      await journal.restore(moved());
    }
    const runLayer = async (layer: number): Promise<Record<string, never>> => {
      const block = await program.readWeights(layer);
      await runPlain(fitProgram, layer, block, before, after, between, options);
      for (const [index, trial] of trials.entries()) {
        const own = states[index]!;
        if (own !== null) await run(program, layer, block, own, own);
        else if (trial.layer === layer) {
          const cut = new LayerProgram(trial.cut, batches, WHOLE_BLOCK);
          const targets = trial.repair === "o" ? between : after;
          const changed = (states[index] = await open(batches));
          await run(cut, layer, await repaired(trial, fittedIn, before, targets, products, options), whole, changed);
          await cut.close();
        }
      }
      await run(program, layer, block, whole, whole);
      [before, after] = [after, before];
      return {};
    };
    for (let layer = resumed; layer < L; layer++) await journal.step(layer, () => runLayer(layer), moved);
    const changed = states.map((own) => own!);
    return await readDamage(checkpoint, measured, batches, whole, changed, journal, options);
  } finally {
    for (const each of opened) await each.close();
    await program.close();
    await fitProgram.close();
    await products.close();
  }
}

/** The cut layer with its output matrix fitted to the dense layer's output on the same input. */
async function repaired(
  { layer, cut, repair: role }: LayerTrial,
  fitted: FittedDocuments,
  before: HiddenStates,
  targets: HiddenStates,
  products: Products,
  options: JobOptions,
): Promise<Block> {
  const { batches, lengths } = fitted;
  const request: BlockRequest = role === "down" ? DOWN_FROM_BLOCK : { part: "inner", matrix: "o", from: "sublayer" };
  const program = new LayerProgram(cut, batches, role === null ? WHOLE_BLOCK : request);
  try {
    const block = await program.readWeights(layer);
    if (role === null) return block;
    const kept = block.weights.get(role)!;
    const postNorm = block.weights.get(POST_NORMS[role]);
    const [D, n] = kept.shape as [number, number];
    const equations = new NormalEquations(products, "a trial", n, new Projection(D));
    const onBatch = async (batch: Batch, outputs: BlockOutputs, number: number): Promise<void> => {
      const { inner, tokenScale, attentionStream } = outputs;
      const stream = attentionStream ?? (await before.get(number));
      const streams = { pruned: stream, before: stream, after: await targets.get(number) };
      const wanted = writeTargets(block.weights, role, streams, products.room("targets of a batch", stream.length));
      await addBatch(() => equations, batch, lengths, inner!, wanted, tokenScale ?? null);
    };
    await program.runLayer(layer, block, before, null, () => ({}), onBatch, options);
    await equations.finish();
    const weights = await fitRidge(products, equations, towardsStream(kept, postNorm), TRIAL_STRENGTH);
    if (weights === null) return block;
    return { ...block, weights: new Map([...block.weights, [role, fromStream(weights, kept, postNorm)]]) };
  } finally {
    await program.close();
  }
}

/** Moves states one layer on; `streams` receives those after the attention if the program outputs them. */
async function runPlain(
  program: LayerProgram,
  layer: number,
  block: Block,
  from: HiddenStates,
  to: HiddenStates,
  streams: HiddenStates | null,
  options: JobOptions,
): Promise<void> {
  await program.runLayer(
    layer,
    block,
    from,
    to,
    () => ({}),
    (_batch, { attentionStream }, number) => streams?.set(number, attentionStream!),
    options,
  );
}

/**
 * Divergences of every trial's last hidden states from the dense model's, batch by batch.
 * @returns as `measureLayerDamage`.
 */
async function readDamage(
  checkpoint: Checkpoint,
  documents: readonly TokenDocument[],
  batches: readonly Batch[],
  whole: HiddenStates,
  trials: readonly HiddenStates[],
  journal: LayerJournal,
  options: JobOptions,
): Promise<Float64Array[]> {
  const damage = trials.map(() => new Float64Array(documents.length));
  for (const [number, batch] of batches.entries()) {
    const lengths = batch.documents.map((index) => documents[index]!.tokens.length);
    const read = async (): Promise<{ means: Float64Array<ArrayBuffer> }> => {
      const rows: Float32Array<ArrayBuffer>[] = [];
      for (const states of [whole, ...trials]) rows.push(realRows(await states.get(number), batch.length, lengths));
      const [dense, ...changed] = rows;
      return { means: documentMeans(await computeDivergences(checkpoint, dense!, changed, options), lengths) };
    };
    const { means } = await journal.step(checkpoint.config.numHiddenLayers + number, read, null);
    options.onProgress?.({ stage: "reading the damage", done: number + 1, total: batches.length, unit: "batches" });
    for (const [trial, own] of damage.entries())
      for (const [row, document] of batch.documents.entries()) own[document] = means[trial * lengths.length + row]!;
  }
  return damage;
}

/** The states of a batch [B, T, D] without those of padding, [M, D]. */
function realRows(states: Float32Array<ArrayBuffer>, T: number, lengths: readonly number[]): Float32Array<ArrayBuffer> {
  const D = states.length / (lengths.length * T);
  const rows = new Float32Array(lengths.reduce((sum, length) => sum + length, 0) * D);
  let at = 0;
  for (const [row, length] of lengths.entries()) {
    const start = row * T * D;
    rows.set(states.subarray(start, start + length * D), at);
    at += length * D;
  }
  return rows;
}

/** The mean of each list [M] over the tokens of each document, [lists, documents]. */
function documentMeans(lists: readonly Float64Array[], lengths: readonly number[]): Float64Array<ArrayBuffer> {
  const means = lists.flatMap((perToken) => {
    let at = 0;
    return lengths.map((length) => {
      const own = perToken.subarray(at, (at += length));
      return own.reduce((total, value) => total + value, 0) / length;
    });
  });
  return Float64Array.from(means);
}
