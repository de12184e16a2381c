/**
 * @file The part of a block's graph that measures how large the inputs of its matrices are: the source of the
 * importances for quantization.
 *
 * Outputs: `attentionInputSquares` [D] (input of q, k and v) · `oSquares` [H·K] · `ffnInputSquares` [D] (gate and up) ·
 *          `downSquares` [F]: sums of squares by column over the batch's real tokens
 */

import type { BlockContext } from "./block-context.ts";
import type { Value } from "./onnx-graph.ts";

/** The inputs of a block's matrices: one for q, k and v, one for gate and up, one each for o and down. */
export const MATRIX_INPUTS = ["attentionInput", "o", "ffnInput", "down"] as const;

/** An input of matrices of a block. */
export type MatrixInput = (typeof MATRIX_INPUTS)[number];

/** Name of a block's output. */
export function squaresName(input: MatrixInput): `${MatrixInput}Squares` {
  return `${input}Squares`;
}

/** Adds the sums of one input. `rows` [N, `width`]. */
export function addInputSquares({ graph: g, tokenMask }: BlockContext, input: MatrixInput, rows: Value, width: number): void {
  const masked = g.multiply(rows, g.reshape(tokenMask, [-1, 1]));
  g.output(squaresName(input), g.sumOfSquares(masked, [0]), [width]);
}
