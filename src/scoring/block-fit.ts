/**
 * @file The part of a block's graph that repair adds: the normal equations of one output matrix (o or down), so that it can be fitted
 * anew to what the pruned model really feeds it. Formula: architecture, "Repair".
 *
 * Input:   target [B, T, D], the residual stream that the dense model has after the sublayer
 * Outputs: gram [n, n] = AᵀA · cross [n, D] = AᵀY · targetEnergy [D] = Σ Y², over real tokens, with A the matrix' inputs [tokens, n] and
 *          Y the target minus the residual stream before the sublayer
 *
 * Only for sublayers without a norm behind them: there the output is not linear in the matrix (docs/LOG.md).
 */

import type { BlockContext } from "./block-energies.ts";
import type { Value } from "./onnx-graph.ts";

/** An output matrix that repair can fit. */
export type FitRole = "o" | "down";

/**
 * Adds the normal equations of one matrix.
 * @param inputs what the matrix multiplies, [B·T, n]
 * @param width n
 * @param before the residual stream before the sublayer, [B, T, D]
 */
export function addFit({ graph: g, shape, tokenMask }: BlockContext, inputs: Value, width: number, before: Value): void {
  const D = shape.hiddenSize;
  const target = g.input("target", ["B", "T", D]);
  const mask = g.reshape(tokenMask, [0, -1, 1]);
  const y = g.reshape(g.multiply(g.subtract(target, before), mask), [-1, D]);
  const a = g.multiply(inputs, g.reshape(mask, [-1, 1]));
  const transposed = g.transpose(a, [1, 0]);
  g.output("gram", g.matmul(transposed, a), [width, width]);
  g.output("cross", g.matmul(transposed, y), [width, D]);
  g.output("targetEnergy", g.sumOfSquares(y, [0]), [D]);
}
