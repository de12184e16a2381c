/**
 * @file The part of a block's graph that repair adds: the normal equations of one output matrix (o or down), so that it
 * can be fitted again, to the inputs that the pruned model really feeds it. Formula: docs/architecture.md, "Repair".
 *
 * Input:   target [B, T, D], the wanted residual stream after the sublayer
 * Outputs: gram [n, n] = AᵀA · cross [n, D] = AᵀY · targetEnergy [D] = Σ Y², over real tokens, with A the inputs
 *          [tokens, n] of the matrix and Y the target minus the residual stream before the sublayer
 *
 * With a post norm, A·Wᵀ / rms(A·Wᵀ) ∘ g is added to the stream, which is not linear in W. There A's rows are divided
 * by the rms that the current weights give, so that A·(g∘W)ᵀ is what is added as long as the rms does not change much:
 * g∘W is what is fitted.
 */

import type { BlockContext } from "./block-context.ts";
import type { Value } from "./onnx-graph.ts";

/**
 * Adds the normal equations of one matrix.
 * @param inputs what the matrix multiplies, [N, n]
 * @param width n
 * @param before the residual stream before the sublayer, [B, T, D]
 * @param tokenScale factor on each token's inputs, [B, T, 1]: 0 for padding; for a token 1, or 1/rms with a post norm
 */
export function addFit(
  { graph: g, shape, tokenMask }: BlockContext,
  inputs: Value,
  width: number,
  before: Value,
  tokenScale: Value,
): void {
  const D = shape.hiddenSize;
  const target = g.input("target", ["B", "T", D]);
  const y = g.reshape(g.multiply(g.subtract(target, before), g.reshape(tokenMask, [0, -1, 1])), [-1, D]);
  const a = g.multiply(inputs, g.reshape(tokenScale, [-1, 1]));
  const transposed = g.transpose(a, [1, 0]);
  g.output("gram", g.matmul(transposed, a), [width, width]);
  g.output("cross", g.matmul(transposed, y), [width, D]);
  g.output("targetEnergy", g.sumOfSquares(y, [0]), [D]);
}
