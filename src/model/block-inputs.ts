/**
 * @file The part of a block's graph that tells how large the inputs of its matrices are: what an importance for quantising is made of.
 *
 * Outputs: `attentionInputSquares` [D] (of what q, k and v multiply) · `oSquares` [H·K] · `ffnInputSquares` [D] (gate and up) ·
 *          `downSquares` [F]: sums of squares by column over the batch's real tokens
 */

import type { BlockContext } from "./block-energies.ts";
import type { Value } from "./onnx-graph.ts";

/** What matrices of a block multiply: one input for q, k and v, one for gate and up. */
export const MATRIX_INPUTS = ["attentionInput", "o", "ffnInput", "down"] as const;

/** An input of matrices of a block. */
export type MatrixInput = (typeof MATRIX_INPUTS)[number];

/** Name of a block's output. */
export function squaresName(input: MatrixInput): `${MatrixInput}Squares` {
  return `${input}Squares`;
}

/** Adds the sums of one input. `rows` [B·T, `width`]. */
export function addInputSquares({ graph: g, tokenMask }: BlockContext, input: MatrixInput, rows: Value, width: number): void {
  const masked = g.multiply(rows, g.reshape(tokenMask, [-1, 1]));
  g.output(squaresName(input), g.sumOfSquares(masked, [0]), [width]);
}
