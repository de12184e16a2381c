/**
 * @file Predictions from hidden states, through final norm and output head: logits, losses, expected frequencies.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { JobOptions } from "../progress.ts";
import { addExponentials, logSum, newSums } from "./exponential-sums.ts";
import { runHead, type HeadGraph } from "./head-slices.ts";
import type { OnnxGraph, Value } from "./onnx-graph.ts";

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
 * Weighted sums over the rows of the next-token probabilities: how often the model expects each token.
 * @param states hidden states after the last block, before the final norm, [M, D].
 * @param weights [G, M]: G sums, each with a weight per row.
 * @returns G arrays [V].
 */
export async function sumProbabilities(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  weights: readonly Float32Array[],
  options: JobOptions,
): Promise<Float64Array<ArrayBuffer>[]> {
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
      // For a target outside this slice any logit is gathered, and not read.
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
