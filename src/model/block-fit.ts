/**
 * @file The part of a block's graph that repair adds: the normal equations of one output matrix (o or down), so that it can be fitted
 * anew to what the pruned model really feeds it. Formula: architecture, "Repair".
 *
 * Input:   target [B, T, D], the residual stream that is wanted after the sublayer
 * Outputs: gram [n, n] = AᵀA · cross [n, D] = AᵀY · targetEnergy [D] = Σ Y², over real tokens, with A the matrix' inputs [tokens, n] and
 *          Y the target minus the residual stream before the sublayer
 *
 * Behind a post norm the stream gets A·Wᵀ / rms(A·Wᵀ) ∘ g, which is not linear in W. There A's rows are divided by the rms that the weights at hand give, so that A·(g∘W)ᵀ is
 * what the stream gets as long as that does not change much: what is fitted is g∘W.
 */

import type { BlockContext } from "./block-energies.ts";
import type { Value } from "./onnx-graph.ts";

/** An output matrix that repair can fit. */
export type FitRole = "o" | "down";

/** The norm behind each, in families that have one. */
export const POST_NORMS = { o: "postAttentionNorm", down: "postFfnNorm" } as const;

/**
 * Adds the normal equations of one matrix.
 * @param inputs what the matrix multiplies, [B·T, n]
 * @param width n
 * @param before the residual stream before the sublayer, [B, T, D]
 * @param tokenScale factor on each token's inputs, [B, T, 1]: 0 for padding, 1 for a real token or 1/rms behind a post norm
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
