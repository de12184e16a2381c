/**
 * @file How fast this machine does each kind of work on a model: the run's own graphs and readers, on one layer, one
 * batch and one slice of the vocabulary. It takes a second or two, and the result is kept for a day.
 * Source: docs/architecture.md, "Time".
 */

import { cpus } from "node:os";
import { join } from "node:path";
import { env } from "onnxruntime-node";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import { isJsonObject } from "../json.ts";
import type { JobOptions } from "../progress.ts";
import { type Batch, makeBatches, MAX_BATCH_TOKENS, planBatches } from "../model/batches.ts";
import { type MapChange, OUTPUT_GRAM_ENERGIES } from "../model/block-energies.ts";
import { type BlockRequest, WHOLE_BLOCK } from "../model/block-request.ts";
import { computeDivergences } from "../model/divergences.ts";
import { openStates } from "../model/embedding.ts";
import { ROWS_PER_PRODUCT, VOCABULARY_PER_PRODUCT } from "../model/head-slices.ts";
import { type Block, LayerProgram } from "../model/layer-program.ts";
import { computeLosses } from "../model/output-head.ts";
import { CHUNK_TOKENS } from "../model/memory-plan.ts";
import type { Feed } from "../model/sessions.ts";
import type { RelevanceKind } from "../model/units.ts";
import { blockWork, type Speed, type WorkKind } from "../model/work-plan.ts";
import { energiesFor, OutputGram } from "../scoring/layer-scorer.ts";
import { CholeskyFactor } from "../surgery/linear-solve.ts";
import { LowerBlocks, lowerBlocksSize } from "../surgery/lower-blocks.ts";
import { NormalEquations } from "../surgery/normal-equations.ts";
import { Products } from "../surgery/products.ts";
import { Projection } from "../surgery/projection.ts";
import { digestOf, readRecord, writeRecord } from "./work-records.ts";

/** What is measured. */
export interface SpeedRequest {
  /** The kinds of work that the run has. */
  readonly kinds: readonly WorkKind[];
  /** Tokens of the run's documents: a batch of the usual size is taken. */
  readonly lengths: readonly number[];
  /** What is scored; null if nothing is. */
  readonly scoring: { readonly kinds: readonly RelevanceKind[]; readonly mapChange: MapChange } | null;
  /** Trials whose predictions are compared with the dense model's at once. */
  readonly trials: number;
}

/** How long a kind of work is measured, apart from a first call that warms up. */
const PROBE_MS = 250;
/** Width of the system that is solved: wide enough for its blocks to be products, and solved in a tenth of a second. */
const MAX_SOLVED = 1024;
/** How long a measured speed is used again. */
const MAX_AGE_MS = 24 * 3600e3;
const RECORD_NAME = "speed.json";

/**
 * The speed of each kind of work that is requested; of the other kinds, infinity.
 * @param workFolder of the model: a recent measurement in it is used again.
 * @param keeps whether a new measurement is kept there.
 * @throws CusprunError the errors of `Checkpoint.readFloat32`.
 */
export async function speedOf(
  checkpoint: Checkpoint,
  request: SpeedRequest,
  workFolder: string,
  keeps: boolean,
  job: JobOptions,
): Promise<Speed> {
  const path = join(workFolder, RECORD_NAME);
  const { kinds, ...rest } = request;
  const { length, documents } = usualBatch(rest.lengths);
  const key = digestOf([machine(), job.device ?? "cpu", { ...rest, lengths: [length, documents.length] }]);
  const known = knownSpeed(await readRecord(path), key);
  const missing = kinds.filter((kind) => known[kind] === undefined);
  const measured = { ...known, ...(missing.length > 0 && (await measure(checkpoint, { ...rest, kinds: missing }, job))) };
  if (keeps && missing.length > 0) await writeRecord(path, { key, measuredAtMs: Date.now(), speed: measured });
  const of = (kind: WorkKind): number => measured[kind] ?? Number.POSITIVE_INFINITY;
  return {
    scoring: of("scoring"),
    block: of("block"),
    head: of("head"),
    damage: of("damage"),
    sums: of("sums"),
    solve: of("solve"),
    reading: of("reading"),
  };
}

/** What a speed depends on, apart from the model. */
function machine(): unknown {
  return [cpus().map(({ model }) => model), process.arch, process.version, env.versions];
}

function knownSpeed(record: unknown, key: string): Partial<Speed> {
  if (!isJsonObject(record) || record["key"] !== key || !isJsonObject(record["speed"])) return {};
  const age = Date.now() - Number(record["measuredAtMs"]);
  if (!(age >= 0 && age < MAX_AGE_MS)) return {};
  return Object.fromEntries(Object.entries(record["speed"]).filter(([, rate]) => typeof rate === "number" && rate > 0));
}

async function measure(checkpoint: Checkpoint, request: SpeedRequest, job: JobOptions): Promise<Partial<Speed>> {
  const { kinds, lengths, scoring, trials } = request;
  const { hiddenSize: D, layerSizes } = checkpoint.config;
  const fitWidth = Math.max(...layerSizes.map(({ intermediateSize }) => intermediateSize));
  const speed: Partial<Record<WorkKind, number>> = {};
  const wants = (kind: WorkKind): boolean => kinds.includes(kind);
  const blocks = new BlockProbe(checkpoint, usualBatch(lengths), job);
  if (wants("reading") || wants("block") || wants("scoring")) speed.reading = await blocks.read();
  if (wants("block")) speed.block = await blocks.run(WHOLE_BLOCK);
  if (wants("scoring") && scoring !== null) {
    const { kinds: scored, mapChange } = scoring;
    speed.scoring = await blocks.run({ part: "block", energies: { outputs: energiesFor(scored), mapChange } });
  }
  if (wants("head") || wants("damage")) {
    const slice = firstTokens(checkpoint);
    const size = D * slice.config.vocabSize;
    const losses = (rows: number) => () => computeLosses(slice, values(rows * D), new Int32Array(rows), job);
    // With a single row, the time is that of reading the slice and of compiling the graph.
    const fixed = await secondsPerRun(losses(1));
    const rateOf = (rows: number, seconds: number): number => (2 * rows * size) / Math.max(seconds - fixed, seconds / 10);
    if (wants("head")) speed.head = rateOf(ROWS_PER_PRODUCT, await secondsPerRun(losses(ROWS_PER_PRODUCT)));
    if (wants("damage")) {
      const rows = Math.max(1, Math.floor(ROWS_PER_PRODUCT / (trials + 1)));
      const lists = Array.from({ length: trials }, () => values(rows * D));
      const seconds = await secondsPerRun(() => computeDivergences(slice, values(rows * D), lists, job));
      speed.damage = rateOf((trials + 1) * rows, seconds);
    }
  }
  if (wants("sums")) speed.sums = await sumsSpeed(fitWidth, D);
  if (wants("solve")) speed.solve = await solveSpeed(Math.min(fitWidth, MAX_SOLVED), D);
  return speed;
}

/** The first block of a model on one batch. */
class BlockProbe {
  readonly #checkpoint: Checkpoint;
  readonly #batch: Batch;
  readonly #job: JobOptions;
  #block: Block | null = null;

  constructor(checkpoint: Checkpoint, { documents, length }: ReturnType<typeof usualBatch>, job: JobOptions) {
    const document: TokenDocument = { tokens: new Int32Array(length), byteLength: 0, source: "" };
    this.#checkpoint = checkpoint;
    this.#batch = makeBatches(
      documents.map(() => document),
      documents.length * length,
    )[0]!;
    // A probe is no stage.
    const { onProgress: _, ...quiet } = job;
    this.#job = quiet;
  }

  /** Values that are read per second. */
  async read(): Promise<number> {
    const program = new LayerProgram(this.#checkpoint, [this.#batch], WHOLE_BLOCK);
    const startedAtMs = performance.now();
    this.#block = await program.readWeights(0);
    const seconds = (performance.now() - startedAtMs) / 1000;
    return [...this.#block.weights.values()].reduce((sum, { data }) => sum + data.length, 0) / seconds;
  }

  /** Operations per second of a graph of the block. */
  async run(request: Extract<BlockRequest, { readonly part: "block" }>): Promise<number> {
    const { shape, weights } = this.#block!;
    const program = new LayerProgram(this.#checkpoint, [this.#batch], request);
    const needsGram = request.energies?.outputs.some((energy) => OUTPUT_GRAM_ENERGIES.includes(energy)) ?? false;
    const gram = needsGram ? await OutputGram.create(shape) : null;
    const states = await openStates([this.#batch], shape.hiddenSize, false);
    try {
      const feeds: Readonly<Record<string, Feed>> = gram === null ? {} : { outputGram: await gram.compute(weights) };
      await states.set(0, values(this.#batch.tokens.length * shape.hiddenSize));
      const seconds = await secondsPerRun(() =>
        program.runLayer(
          0,
          this.#block!,
          states,
          null,
          () => feeds,
          () => undefined,
          this.#job,
        ),
      );
      return blockWork(shape, [this.#batch]) / seconds;
    } finally {
      await states.close();
      await gram?.close();
      await program.close();
    }
  }
}

/** Operations per second of the sums of a fit with n inputs and D outputs. */
async function sumsSpeed(n: number, D: number): Promise<number> {
  const products = new Products();
  const equations = new NormalEquations(products, "a measurement", n, new Projection(D));
  const [inputs, targets] = [values(CHUNK_TOKENS * n), values(CHUNK_TOKENS * D)];
  try {
    const seconds = await secondsPerRun(() => equations.add(inputs, targets, [0, CHUNK_TOKENS], null));
    return (CHUNK_TOKENS * n * (n + 2 * D)) / seconds;
  } finally {
    await products.close();
  }
}

/** Operations per second of a system with n unknowns and D right-hand sides. */
async function solveSpeed(n: number, D: number): Promise<number> {
  const products = new Products();
  const system = new LowerBlocks(n, new Float32Array(lowerBlocksSize(n)));
  const diagonal = new Float64Array(n).fill(1);
  const right = values(n * D);
  try {
    const seconds = await secondsPerRun(async () => (await CholeskyFactor.of(products, system, diagonal))!.solve(right, D));
    return (n ** 3 / 3 + 2 * n ** 2 * D) / seconds;
  } finally {
    await products.close();
  }
}

/** The batch in the middle, by length. */
function usualBatch(lengths: readonly number[]): { readonly documents: readonly number[]; readonly length: number } {
  const batches = planBatches(lengths, MAX_BATCH_TOKENS);
  return batches[Math.floor(batches.length / 2)] ?? { documents: [0], length: MAX_BATCH_TOKENS };
}

/** A model whose output head has only its first tokens. */
function firstTokens(checkpoint: Checkpoint): Checkpoint {
  const { path, format, config, configJson, generationConfigJson, tensors } = checkpoint;
  return {
    path,
    format,
    config: { ...config, vocabSize: Math.min(config.vocabSize, VOCABULARY_PER_PRODUCT) },
    configJson,
    generationConfigJson,
    tensors,
    readFloat32: (name, rows) => checkpoint.readFloat32(name, rows),
    readBytes: (name, rows) => checkpoint.readBytes(name, rows),
    readTokenizerFiles: () => checkpoint.readTokenizerFiles(),
    close: () => Promise.resolve(),
  };
}

/** Made-up activations: the time of a product does not depend on its values. */
function values(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, index) => Math.sin(index));
}

/** The mean over the calls that begin within `PROBE_MS`, after one that is not counted. */
async function secondsPerRun(run: () => Promise<unknown>): Promise<number> {
  await run();
  const startedAtMs = performance.now();
  let count = 0;
  let elapsedMs = 0;
  while (count === 0 || elapsedMs < PROBE_MS) {
    await run();
    count += 1;
    elapsedMs = performance.now() - startedAtMs;
  }
  return elapsedMs / count / 1000;
}
