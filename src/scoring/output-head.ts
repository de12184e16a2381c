/**
 * @file The model's last step: final norm and output head, read in slices of the vocabulary so that neither the head nor the logits
 * of many tokens are in memory at once.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { FAMILIES, MODEL_TENSOR_NAMES } from "../checkpoint/families.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import { withOffset } from "./layer-program.ts";
import { OnnxGraph, type Value } from "./onnx-graph.ts";
import { GraphSession } from "./sessions.ts";
import type { Feed } from "./sessions.ts";

/** Tokens of the vocabulary in one product. */
const VOCABULARY_PER_PRODUCT = 8192;
/** Rows in one product: 1024 · 8192 logits are 32 MiB. */
const ROWS_PER_PRODUCT = 1024;

/** Name of the tensor that the output head multiplies with. */
export function outputHeadName(checkpoint: Checkpoint): string {
  return checkpoint.tensors.has(MODEL_TENSOR_NAMES.outputHead) ? MODEL_TENSOR_NAMES.outputHead : MODEL_TENSOR_NAMES.embedding;
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

/** log Σ exp(logits) and the target's logit of every row, [M] each. */
async function sumExponentials(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  targets: Int32Array,
  options: JobOptions,
): Promise<{ readonly logSums: Float64Array; readonly targetLogits: Float64Array }> {
  // The vocabulary comes in slices: the running maximum and the sum of exponentials under it are carried along.
  const maxima = new Float64Array(targets.length).fill(Number.NEGATIVE_INFINITY);
  const sums = new Float64Array(targets.length);
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
      const highest = Math.max(maxima[row]!, maximum![index]!);
      sums[row] = sums[row]! * Math.exp(maxima[row]! - highest) + sum![index]! * Math.exp(maximum![index]! - highest);
      maxima[row] = highest;
      if (targets[row]! >= start && targets[row]! < end) targetLogits[row] = targetLogit![index]!;
    }
  });
  return { logSums: maxima.map((maximum, row) => maximum + Math.log(sums[row]!)), targetLogits };
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
  const { hiddenSize: D, vocabSize: V, rmsNormEps } = checkpoint.config;
  const normWeight = await checkpoint.readFloat32(MODEL_TENSOR_NAMES.finalNorm);
  const norm: Feed = { data: withOffset(normWeight, FAMILIES[checkpoint.config.family].normOffset), shape: [D] };
  const session = await GraphSession.create(buildHeadGraph(D, rmsNormEps, headGraph));
  const name = outputHeadName(checkpoint);
  const rowCount = states.length / D;
  try {
    for (let start = 0; start < V; start += VOCABULARY_PER_PRODUCT) {
      const end = Math.min(V, start + VOCABULARY_PER_PRODUCT);
      const head: Feed = { data: await checkpoint.readFloat32(name, { start, end }), shape: [end - start, D] };
      for (let first = 0; first < rowCount; first += ROWS_PER_PRODUCT) {
        await pause(options.signal);
        const count = Math.min(ROWS_PER_PRODUCT, rowCount - first);
        const x: Feed = { data: states.subarray(first * D, (first + count) * D), shape: [count, D] };
        onSlice(await session.run({ x, norm, head, ...headGraph.feed?.(first, count, start, end) }), first, start, end);
      }
    }
  } finally {
    await session.close();
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
