/**
 * @file Solves A·X = B for a symmetric positive definite A: a blocked Cholesky factorization whose products run on ONNX
 * Runtime, in f32. A ridge of a tenth of each input's energy or more bounds the condition of what repair solves, so
 * that f32 is enough (docs/LOG.md, "Repair in f32"). Source: Golub & Van Loan, Matrix Computations, 4.2.5 (blocked,
 * left-looking). No maintained JavaScript library does this at the speed of a matrix product.
 */

import { LowerBlocks, lowerBlocksSize } from "./lower-blocks.ts";
import type { Matrix, Products } from "./products.ts";

/** Blocks of this size or less are factored in plain loops. */
const PLAIN_SIZE = 64;

/** A Cholesky factor L of A + diag(d), ready to solve with. */
export class CholeskyFactor {
  readonly #products: Products;
  /** Below the diagonal blocks: L. */
  readonly #below: LowerBlocks;
  /** Inverses of L's diagonal blocks, lower triangular. */
  readonly #inverses: readonly Matrix[];

  private constructor(products: Products, below: LowerBlocks, inverses: readonly Matrix[]) {
    this.#products = products;
    this.#below = below;
    this.#inverses = inverses;
  }

  /**
   * Factors A + diag(d). The factor takes the place of the one before it.
   * @param d [n]
   * @returns null if A + diag(d) is not positive definite in f32.
   */
  static async of(products: Products, a: LowerBlocks, d: Float64Array): Promise<CholeskyFactor | null> {
    const n = d.length;
    const below = new LowerBlocks(n, products.room("factor", lowerBlocksSize(n)));
    below.values.set(a.values);
    const { spans } = below;
    const inverses: Matrix[] = [];
    for (const [column, { start, size }] of spans.entries()) {
      const diagonal = below.block(column, column);
      for (let at = 0; at < size; at++) diagonal[at * size + at] = diagonal[at * size + at]! + d[start + at]!;
      for (let row = column; row < spans.length; row++) {
        const target = below.block(row, column);
        const rows = spans[row]!.size;
        for (let before = 0; before < column; before++) {
          const shape = [rows, spans[before]!.size, size] as const;
          const options = { onto: "subtract", transposeSecond: true } as const;
          await products.run(below.block(row, before), below.block(column, before), shape, target, options);
        }
      }
      const inverse = await invertFactor(products, diagonal, size);
      if (inverse === null) return null;
      inverses.push(inverse);
      for (let row = column + 1; row < spans.length; row++) {
        const target = below.block(row, column);
        const rows = spans[row]!.size;
        const result = products.room("panel", rows * size);
        target.set(await products.run(target, inverse, [rows, size, size], result, { transposeSecond: true }));
      }
    }
    return new CholeskyFactor(products, below, inverses);
  }

  /** Replaces b [n, m] by the solution X, and returns it. */
  async solve(b: Matrix, m: number): Promise<Matrix> {
    const { spans } = this.#below;
    const rowsOf = (index: number): Matrix => b.subarray(spans[index]!.start * m, spans[index]!.end * m);
    const applyInverse = async (index: number, transposed: boolean): Promise<void> => {
      const { size } = spans[index]!;
      const room = this.#products.room("solve", size * m);
      const options = transposed ? ({ transposeFirst: true } as const) : {};
      rowsOf(index).set(await this.#products.run(this.#inverses[index]!, rowsOf(index), [size, size, m], room, options));
    };
    for (const [column, { size }] of spans.entries()) {
      await applyInverse(column, false);
      for (let row = column + 1; row < spans.length; row++) {
        const shape = [spans[row]!.size, size, m] as const;
        await this.#products.run(this.#below.block(row, column), rowsOf(column), shape, rowsOf(row), { onto: "subtract" });
      }
    }
    for (let column = spans.length - 1; column >= 0; column--) {
      const { size } = spans[column]!;
      for (let row = column + 1; row < spans.length; row++) {
        const shape = [size, spans[row]!.size, m] as const;
        const options = { onto: "subtract", transposeFirst: true } as const;
        await this.#products.run(this.#below.block(row, column), rowsOf(row), shape, rowsOf(column), options);
      }
      await applyInverse(column, true);
    }
    return b;
  }
}

/**
 * Inverse of the Cholesky factor of a [size, size], by halves; null if a is not positive definite. Only the lower
 * triangle of a is read.
 */
async function invertFactor(products: Products, a: Matrix, size: number): Promise<Matrix | null> {
  if (size <= PLAIN_SIZE) return invertFactorPlain(a, size);
  const [h, r] = [size >> 1, size - (size >> 1)];
  const upper = await invertFactor(products, part(a, size, [0, h], [0, h]), h);
  if (upper === null) return null;
  // The factor's blocks: L21 = A21·L11⁻ᵀ, and L22 from A22 − L21·L21ᵀ.
  const below = await products.run(part(a, size, [h, size], [0, h]), upper, [r, h, h], new Float32Array(r * h), {
    transposeSecond: true,
  });
  const rest = part(a, size, [h, size], [h, size]);
  await products.run(below, below, [r, h, r], rest, { onto: "subtract", transposeSecond: true });
  const lower = await invertFactor(products, rest, r);
  if (lower === null) return null;
  // The inverse's block: −L22⁻¹·L21·L11⁻¹.
  const product = await products.run(below, upper, [r, h, h], new Float32Array(r * h));
  const corner = new Float32Array(r * h);
  await products.run(lower, product, [r, r, h], corner, { onto: "subtract" });
  const inverse = new Float32Array(size * size);
  for (let row = 0; row < h; row++) inverse.set(upper.subarray(row * h, (row + 1) * h), row * size);
  for (let row = 0; row < r; row++) {
    inverse.set(corner.subarray(row * h, (row + 1) * h), (h + row) * size);
    inverse.set(lower.subarray(row * r, (row + 1) * r), (h + row) * size + h);
  }
  return inverse;
}

/** A copy of rows and columns of a square matrix. */
function part(a: Matrix, size: number, rows: readonly [number, number], columns: readonly [number, number]): Matrix {
  const width = columns[1] - columns[0];
  const result = new Float32Array((rows[1] - rows[0]) * width);
  for (let row = rows[0]; row < rows[1]; row++)
    result.set(a.subarray(row * size + columns[0], row * size + columns[1]), (row - rows[0]) * width);
  return result;
}

/** `invertFactor` in plain loops, with sums in f64. */
function invertFactorPlain(a: Matrix, size: number): Matrix | null {
  const l = Float64Array.from(a);
  for (let column = 0; column < size; column++) {
    for (let row = column; row < size; row++) {
      let sum = l[row * size + column]!;
      for (let k = 0; k < column; k++) sum -= l[row * size + k]! * l[column * size + k]!;
      if (row > column) l[row * size + column] = sum / l[column * size + column]!;
      else if (sum > 0) l[row * size + column] = Math.sqrt(sum);
      else return null;
    }
  }
  const inverse = new Float64Array(size * size);
  for (let column = 0; column < size; column++) {
    inverse[column * size + column] = 1 / l[column * size + column]!;
    for (let row = column + 1; row < size; row++) {
      let sum = 0;
      for (let k = column; k < row; k++) sum -= l[row * size + k]! * inverse[k * size + column]!;
      inverse[row * size + column] = sum / l[row * size + row]!;
    }
  }
  return Float32Array.from(inverse);
}
