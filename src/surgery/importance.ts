/**
 * @file How important each column of a matrix is when the matrix is quantized: the mean square of the input that it
 * multiplies, over the documents of the repair. The same values are in llama.cpp's importance matrix (`llama-imatrix`).
 */

import { type BlockOutputs } from "../model/layer-program.ts";
import { MATRIX_INPUTS, type MatrixInput, squaresName } from "../model/block-inputs.ts";

/** Importances of a layer's matrices, by their input: [columns] each. */
export type LayerImportances = ReadonlyMap<MatrixInput, Float32Array<ArrayBuffer>>;

/** Least importance, as a share of the mean: columns that these documents never use must not be written as zeros. */
const LEAST_SHARE = 1e-6;

/** Sums over batches, in f64. */
export class ImportanceSums {
  readonly #squares = new Map<MatrixInput, Float64Array>();

  /** Adds the outputs of a sublayer for a batch, requested with `inputSquares`. */
  add(outputs: BlockOutputs): void {
    for (const input of MATRIX_INPUTS) {
      const squares = outputs[squaresName(input)];
      if (squares === undefined) continue;
      const sum = this.#squares.get(input) ?? new Float64Array(squares.length);
      for (let column = 0; column < sum.length; column++) sum[column] = sum[column]! + squares[column]!;
      this.#squares.set(input, sum);
    }
  }

  /**
   * The importances. If an input was always zero, all its columns are equally important.
   * @param tokens number of tokens summed.
   */
  means(tokens: number): LayerImportances {
    return new Map([...this.#squares].map(([input, squares]) => [input, importanceOf(squares, tokens)]));
  }
}

function importanceOf(squares: Float64Array, tokens: number): Float32Array<ArrayBuffer> {
  const mean = squares.reduce((sum, square) => sum + square, 0) / (squares.length * tokens);
  return Float32Array.from(squares, (square) => (mean === 0 ? 1 : Math.max(square / tokens, LEAST_SHARE * mean)));
}
