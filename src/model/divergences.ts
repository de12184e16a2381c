/**
 * @file Divergences of a model's predictions from another's that has the same output head, in slices of the vocabulary.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import { addExponentials, logSum, newSums } from "./exponential-sums.ts";
import { forEachHeadSlice, ROWS_PER_PRODUCT } from "./head-slices.ts";
import { OnnxGraph, type Value } from "./onnx-graph.ts";
import { GraphSession } from "./sessions.ts";
import type { Feed } from "./sessions.ts";

/**
 * Kullback-Leibler divergence of next-token distributions q from p, Σ p (log p − log q) in nats, row by row.
 * @param states hidden states that give p, after the last block, before the final norm, [M, D].
 * @param others lists of hidden states that give q, [M, D] each; row i belongs to row i of `states`.
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
  // Of p: running maximum, sum of exponentials, and per list that sum weighted with z_p − z_q.
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

/**
 * Inputs x [L·m, D] (L lists one after the other), norm, head [N, D]; outputs maximum, sum [L, m], and for the lists
 * after the first difference [L − 1, m] = Σ exp(z_0 − max z_0) · (z_0 − z_l).
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
