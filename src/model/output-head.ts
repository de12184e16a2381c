/**
 * @file The model's last step: final norm and output head, read in slices of the vocabulary so that neither the head nor the logits
 * of many tokens are in memory at once.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { familyNamed, modelTensorName } from "../families/index.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import { withOffset } from "./layer-program.ts";
import { OnnxGraph, type Value } from "./onnx-graph.ts";
import { GraphSession } from "./sessions.ts";
import type { Feed } from "./sessions.ts";

/** Tokens of the vocabulary in one product. */
export const VOCABULARY_PER_PRODUCT = 8192;
/** Rows in one product: 1024 · 8192 logits are 32 MiB. */
export const ROWS_PER_PRODUCT = 1024;

/** Name of the tensor that the output head multiplies with. */
export function outputHeadName(checkpoint: Checkpoint): string {
  const family = familyNamed(checkpoint.config.family);
  const head = modelTensorName(family, "outputHead");
  return checkpoint.tensors.has(head) ? head : modelTensorName(family, "embedding");
}

/**
 * Logits of every row for the whole vocabulary, [M, V]. For few rows: the result is held in memory.
 * @param states hidden states after the last block, before the final norm, [M, D].
 */
export async function computeLogits(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  options: JobOptions,
): Promise<Float32Array> {
  const V = checkpoint.config.vocabSize;
  const result = new Float32Array((states.length / checkpoint.config.hiddenSize) * V);
  await runHead(checkpoint, states, { outputs: { logits: (logits) => logits } }, options, ({ logits }, firstRow, start, end) => {
    const width = end - start;
    for (let row = 0; row * width < logits!.length; row++) {
      result.set(logits!.subarray(row * width, (row + 1) * width), (firstRow + row) * V + start);
    }
  });
  return result;
}

/**
 * −log softmax(logits)[target] of every row, in nats, [M].
 * @param states hidden states after the last block, before the final norm, [M, D].
 * @param targets a token id per row, [M].
 */
export async function computeLosses(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  targets: Int32Array,
  options: JobOptions,
): Promise<Float64Array> {
  const { logSums, targetLogits } = await sumExponentials(checkpoint, states, targets, options);
  return logSums.map((logSum, row) => logSum - targetLogits[row]!);
}

/**
 * Weighted sums over the rows of the next token's probabilities: what the model expects to be written, token by token.
 * @param states hidden states after the last block, before the final norm, [M, D].
 * @param weights [G, M]: G sums, each with a weight per row.
 * @returns G arrays [V].
 */
export async function sumProbabilities(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  weights: readonly Float32Array[],
  options: JobOptions,
): Promise<Float64Array[]> {
  const { vocabSize: V } = checkpoint.config;
  const M = weights[0]?.length ?? 0;
  const G = weights.length;
  const { logSums } = await sumExponentials(checkpoint, states, new Int32Array(M), options);
  const sums = weights.map(() => new Float64Array(V));
  const head: HeadGraph = {
    inputs: { logSum: ["M", 1], weight: [G, "M"] },
    outputs: {
      sums: (logits, graph, inputs) =>
        graph.matmul(inputs["weight"]!, graph.node("Exp", [graph.subtract(logits, inputs["logSum"]!)])),
    },
    feed: (first, count) => {
      const weight = new Float32Array(G * count);
      weights.forEach((values, group) => weight.set(values.subarray(first, first + count), group * count));
      return {
        logSum: { data: Float32Array.from(logSums.subarray(first, first + count)), shape: [count, 1] },
        weight: { data: weight, shape: [G, count] },
      };
    },
  };
  await runHead(checkpoint, states, head, options, (values, _firstRow, start, end) => {
    sums.forEach((sum, group) => {
      for (let index = 0; index < end - start; index++) sum[start + index]! += values["sums"]![group * (end - start) + index]!;
    });
  });
  return sums;
}

/**
 * Kullback-Leibler divergence of every row's next-token distribution from that of the row it stands for, Σ p (log p − log q) in nats.
 * @param states hidden states that give p, after the last block, before the final norm, [M, D].
 * @param others lists of hidden states that give q, [M, D] each, row by row beside `states`.
 * @returns one [M] per list.
 */
export async function computeDivergences(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  others: readonly Float32Array<ArrayBuffer>[],
  options: JobOptions,
): Promise<Float64Array[]> {
  const { hiddenSize: D, rmsNormEps } = checkpoint.config;
  const M = states.length / D;
  // Of p: running maximum, sum of exponentials, and per list that sum weighted with log p − log q without their constants.
  const p = newSums(M);
  const q = others.map(() => newSums(M));
  const weighted = others.map(() => new Float64Array(M));
  const session = await GraphSession.create(buildDivergenceGraph(D, rmsNormEps, others.length + 1), options.device);
  const rows = Math.max(1, Math.floor(ROWS_PER_PRODUCT / (others.length + 1)));
  try {
    await forEachHeadSlice(checkpoint, async ({ head, norm }) => {
      for (let first = 0; first < M; first += rows) {
        await pause(options.signal);
        const count = Math.min(rows, M - first);
        const size = count * D;
        const x = new Float32Array((others.length + 1) * size);
        [states, ...others].forEach((list, index) => x.set(list.subarray(first * D, first * D + size), index * size));
        const feed: Feed = { data: x, shape: [(others.length + 1) * count, D] };
        const { maximum, sum, difference } = await session.run({ x: feed, norm, head });
        for (let row = 0; row < count; row++) {
          const rescale = addExponentials(p, first + row, maximum![row]!, sum![row]!);
          for (let list = 0; list < others.length; list++) {
            const at = (list + 1) * count + row;
            addExponentials(q[list]!, first + row, maximum![at]!, sum![at]!);
            const sums = weighted[list]!;
            sums[first + row] = sums[first + row]! * rescale.before + difference![list * count + row]! * rescale.added;
          }
        }
      }
    });
  } finally {
    await session.close();
  }
  return others.map((_, list) =>
    weighted[list]!.map((value, row) => value / p.sums[row]! - logSum(p, row) + logSum(q[list]!, row)),
  );
}

/** Σ exp(logit) of rows as exp(maximum) · sum, gathered slice by slice of the vocabulary. */
interface ExponentialSums {
  readonly maxima: Float64Array;
  readonly sums: Float64Array;
}

function newSums(rows: number): ExponentialSums {
  return { maxima: new Float64Array(rows).fill(Number.NEGATIVE_INFINITY), sums: new Float64Array(rows) };
}

/** log Σ exp(logit) of a row. */
function logSum({ maxima, sums }: ExponentialSums, row: number): number {
  return maxima[row]! + Math.log(sums[row]!);
}

/** Adds a slice to a row's sum; returns the factors that bring what was gathered before and what is added to the new maximum. */
function addExponentials(
  { maxima, sums }: ExponentialSums,
  row: number,
  maximum: number,
  sum: number,
): { readonly before: number; readonly added: number } {
  const highest = Math.max(maxima[row]!, maximum);
  const before = Math.exp(maxima[row]! - highest);
  const added = Math.exp(maximum - highest);
  sums[row] = sums[row]! * before + sum * added;
  maxima[row] = highest;
  return { before, added };
}

/**
 * Inputs x [L·m, D] (L lists one after the other), norm, head [N, D]; outputs maximum, sum [L, m], and for the lists behind the first
 * difference [L - 1, m] = Σ exp(z_0 − max z_0) · (z_0 − z_l).
 */
function buildDivergenceGraph(D: number, epsilon: number, listCount: number): Uint8Array {
  const graph = new OnnxGraph();
  const x = graph.input("x", ["R", D]);
  const norm = graph.input("norm", [D]);
  const head = graph.input("head", ["N", D]);
  const flat = graph.linear(graph.rmsNorm(x, norm, epsilon), head);
  const width = graph.node("Shape", [flat], { start: { int: 1 }, end: { int: 2 } });
  const logits = graph.node("Reshape", [flat, graph.concat([graph.integers([listCount, -1]), width], 0)]);
  const maximum = graph.node("ReduceMax", [logits, graph.integers([2])], { keepdims: { int: 1 } });
  const exponentials = graph.node("Exp", [graph.subtract(logits, maximum)]);
  const part = (value: Value, start: number, end: number): Value =>
    graph.node("Slice", [value, graph.integers([start]), graph.integers([end]), graph.integers([0])]);
  const differences = graph.subtract(part(logits, 0, 1), part(logits, 1, listCount));
  graph.output("maximum", maximum, [listCount, "m", 1]);
  graph.output("sum", graph.sum(exponentials, [2]), [listCount, "m"]);
  graph.output("difference", graph.sum(graph.multiply(part(exponentials, 0, 1), differences), [2]), [listCount - 1, "m"]);
  return graph.serialize();
}

/** log Σ exp(logits) and the target's logit of every row, [M] each. */
async function sumExponentials(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  targets: Int32Array,
  options: JobOptions,
): Promise<{ readonly logSums: Float64Array; readonly targetLogits: Float64Array }> {
  // The vocabulary comes in slices: the running maximum and the sum of exponentials under it are carried along.
  const gathered = newSums(targets.length);
  const targetLogits = new Float64Array(targets.length);
  const maximumOf = (logits: Value, graph: OnnxGraph): Value =>
    graph.node("ReduceMax", [logits, graph.integers([1])], { keepdims: { int: 1 } });
  const head: HeadGraph = {
    inputs: { target: ["M", 1] },
    outputs: {
      maximum: maximumOf,
      sum: (logits, graph) => graph.sum(graph.node("Exp", [graph.subtract(logits, maximumOf(logits, graph))]), [1], true),
      targetLogit: (logits, graph, inputs) => graph.node("GatherElements", [logits, inputs["target"]!], { axis: { int: 1 } }),
    },
    feed: (first, count, start, end) => {
      // A target outside this slice gathers some logit that nobody reads.
      const target = BigInt64Array.from({ length: count }, (_, row) => {
        const id = targets[first + row]! - start;
        return id >= 0 && id < end - start ? BigInt(id) : 0n;
      });
      return { target: { data: target, shape: [count, 1] } };
    },
  };
  await runHead(checkpoint, states, head, options, ({ maximum, sum, targetLogit }, firstRow, start, end) => {
    for (let index = 0; index < maximum!.length; index++) {
      const row = firstRow + index;
      addExponentials(gathered, row, maximum![index]!, sum![index]!);
      if (targets[row]! >= start && targets[row]! < end) targetLogits[row] = targetLogit![index]!;
    }
  });
  return { logSums: gathered.maxima.map((_, row) => logSum(gathered, row)), targetLogits };
}

/** What is computed from the logits of a slice of rows and of the vocabulary. */
interface HeadGraph {
  /** Inputs beside the rows and the head: name → shape. `target` is i64, the others f32. */
  readonly inputs?: Readonly<Record<string, readonly (number | string)[]>>;
  readonly outputs: Readonly<Record<string, (logits: Value, graph: OnnxGraph, inputs: Readonly<Record<string, Value>>) => Value>>;
  readonly feed?: (firstRow: number, rowCount: number, start: number, end: number) => Readonly<Record<string, Feed>>;
}

/** Runs final norm and head for each slice of the vocabulary (outer loop) and of the rows (inner loop). */
async function runHead(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  headGraph: HeadGraph,
  options: JobOptions,
  onSlice: (values: Readonly<Record<string, Float32Array>>, firstRow: number, start: number, end: number) => void,
): Promise<void> {
  const { hiddenSize: D, rmsNormEps } = checkpoint.config;
  const session = await GraphSession.create(buildHeadGraph(D, rmsNormEps, headGraph), options.device);
  const rowCount = states.length / D;
  try {
    await forEachHeadSlice(checkpoint, async ({ head, norm, start, end }) => {
      for (let first = 0; first < rowCount; first += ROWS_PER_PRODUCT) {
        await pause(options.signal);
        const count = Math.min(ROWS_PER_PRODUCT, rowCount - first);
        const x: Feed = { data: states.subarray(first * D, (first + count) * D), shape: [count, D] };
        onSlice(await session.run({ x, norm, head, ...headGraph.feed?.(first, count, start, end) }), first, start, end);
      }
    });
  } finally {
    await session.close();
  }
}

/** A slice of the vocabulary: rows `[start, end)` of the head, and the final norm as it is applied. */
interface HeadSlice {
  readonly head: Feed;
  readonly norm: Feed;
  readonly start: number;
  readonly end: number;
}

async function forEachHeadSlice(checkpoint: Checkpoint, work: (slice: HeadSlice) => Promise<void>): Promise<void> {
  const { hiddenSize: D, vocabSize: V, family } = checkpoint.config;
  const normWeight = await checkpoint.readFloat32(modelTensorName(familyNamed(family), "finalNorm"));
  const norm: Feed = { data: withOffset(normWeight, familyNamed(family).normOffset), shape: [D] };
  const name = outputHeadName(checkpoint);
  for (let start = 0; start < V; start += VOCABULARY_PER_PRODUCT) {
    const end = Math.min(V, start + VOCABULARY_PER_PRODUCT);
    await work({ head: { data: await checkpoint.readFloat32(name, { start, end }), shape: [end - start, D] }, norm, start, end });
  }
}

function buildHeadGraph(D: number, epsilon: number, { inputs = {}, outputs }: HeadGraph): Uint8Array {
  const graph = new OnnxGraph();
  const x = graph.input("x", ["M", D]);
  const norm = graph.input("norm", [D]);
  const head = graph.input("head", ["N", D]);
  const more = Object.fromEntries(
    Object.entries(inputs).map(([name, shape]) => [name, graph.input(name, shape, name === "target" ? "i64" : "f32")]),
  );
  const logits = graph.linear(graph.rmsNorm(x, norm, epsilon), head);
  for (const [name, build] of Object.entries(outputs)) {
    graph.output(name, build(logits, graph, more), [`${name} rows`, `${name} columns`]);
  }
  return graph.serialize();
}
