/**
 * @file The model's last step: final norm and output head, read in slices of the vocabulary so that neither the head nor the logits
 * of many tokens are in memory at once.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { FAMILIES, MODEL_TENSOR_NAMES } from "../checkpoint/families.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import { withOffset } from "./layer-program.ts";
import { OnnxGraph } from "./onnx-graph.ts";
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
  await runHead(checkpoint, states, null, ["logits"], options, ({ logits }, firstRow, start, end) => {
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
  // The vocabulary comes in slices: the running maximum and the sum of exponentials under it are carried along.
  const maxima = new Float64Array(targets.length).fill(Number.NEGATIVE_INFINITY);
  const sums = new Float64Array(targets.length);
  const targetLogits = new Float64Array(targets.length);
  const outputs = ["maximum", "sum", "targetLogit"];
  await runHead(checkpoint, states, targets, outputs, options, ({ maximum, sum, targetLogit }, firstRow, start, end) => {
    for (let index = 0; index < maximum!.length; index++) {
      const row = firstRow + index;
      const highest = Math.max(maxima[row]!, maximum![index]!);
      sums[row] = sums[row]! * Math.exp(maxima[row]! - highest) + sum![index]! * Math.exp(maximum![index]! - highest);
      maxima[row] = highest;
      if (targets[row]! >= start && targets[row]! < end) targetLogits[row] = targetLogit![index]!;
    }
  });
  return Float64Array.from(targets, (_, row) => maxima[row]! + Math.log(sums[row]!) - targetLogits[row]!);
}

/** Runs final norm and head for each slice of the vocabulary (outer loop) and of the rows (inner loop). */
async function runHead(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  targets: Int32Array | null,
  outputs: readonly string[],
  options: JobOptions,
  onSlice: (values: Readonly<Record<string, Float32Array>>, firstRow: number, start: number, end: number) => void,
): Promise<void> {
  const { hiddenSize: D, vocabSize: V, rmsNormEps } = checkpoint.config;
  const normWeight = await checkpoint.readFloat32(MODEL_TENSOR_NAMES.finalNorm);
  const norm: Feed = { data: withOffset(normWeight, FAMILIES[checkpoint.config.family].normOffset), shape: [D] };
  const session = await GraphSession.create(buildHeadGraph(D, rmsNormEps));
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
        // A target outside this slice gathers some logit that nobody reads.
        const target = BigInt64Array.from({ length: count }, (_, row) => {
          const id = (targets?.[first + row] ?? 0) - start;
          return id >= 0 && id < end - start ? BigInt(id) : 0n;
        });
        const values = await session.run({ x, norm, head, target: { data: target, shape: [count, 1] } }, outputs);
        onSlice(values, first, start, end);
      }
    }
  } finally {
    await session.close();
  }
}

function buildHeadGraph(D: number, epsilon: number): Uint8Array {
  const graph = new OnnxGraph();
  const x = graph.input("x", ["M", D]);
  const norm = graph.input("norm", [D]);
  const head = graph.input("head", ["N", D]);
  const target = graph.input("target", ["M", 1], "i64");
  const logits = graph.linear(graph.rmsNorm(x, norm, epsilon), head);
  const maximum = graph.node("ReduceMax", [logits, graph.integers([1])], { keepdims: { int: 1 } });
  graph.output("logits", logits, ["M", "N"]);
  graph.output("maximum", maximum, ["M", 1]);
  graph.output("sum", graph.sum(graph.node("Exp", [graph.subtract(logits, maximum)]), [1]), ["M"]);
  graph.output("targetLogit", graph.node("GatherElements", [logits, target], { axis: { int: 1 } }), ["M", 1]);
  return graph.serialize();
}
