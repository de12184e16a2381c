/**
 * @file How much each column of a matrix counts when it is quantised: the mean square of what it multiplies, over the documents of the
 * repair; what llama.cpp's importance matrix (`llama-imatrix`) holds.
 */

import { type BlockOutputs } from "../model/layer-program.ts";
import { MATRIX_INPUTS, type MatrixInput, squaresName } from "../model/block-inputs.ts";

/** Importances of a layer's matrices, by what they multiply: [columns] each. */
export type LayerImportances = ReadonlyMap<MatrixInput, Float32Array<ArrayBuffer>>;

/** What a column counts at least, as a share of the mean: columns that these documents never used are not to be written as zeros. */
const LEAST_SHARE = 1e-6;

/** Sums over batches, in f64. */
export class ImportanceSums {
  readonly #squares = new Map<MatrixInput, Float64Array>();

  /** Adds what a block, or a part of it, put out for a batch with `inputSquares`. */
  add(outputs: BlockOutputs): void {
    for (const input of MATRIX_INPUTS) {
      const squares = outputs[squaresName(input)];
      if (squares === undefined) continue;
      const sum = this.#squares.get(input) ?? new Float64Array(squares.length);
      for (let column = 0; column < sum.length; column++) sum[column] = sum[column]! + squares[column]!;
      this.#squares.set(input, sum);
    }
  }

  /** The importances. Where an input was zero throughout, all columns count alike. @param tokens that were summed over. */
  means(tokens: number): LayerImportances {
    return new Map([...this.#squares].map(([input, squares]) => [input, importanceOf(squares, tokens)]));
  }
}

function importanceOf(squares: Float64Array, tokens: number): Float32Array<ArrayBuffer> {
  const mean = squares.reduce((sum, square) => sum + square, 0) / (squares.length * tokens);
  return Float32Array.from(squares, (square) => (mean === 0 ? 1 : Math.max(square / tokens, LEAST_SHARE * mean)));
}
