/**
 * @file Solves A·X = B for a symmetric positive definite A in f64: a blocked Cholesky factorization whose large
 * products run on ONNX Runtime. Source: Golub & Van Loan, Matrix Computations, 4.2.5 (blocked, left-looking). No
 * maintained JavaScript library does this at the speed of a matrix product.
 */

import type { Products, Transpose } from "./products.ts";

/**
 * Columns of a block: few enough that the plain loops inside a block take little of the time, enough for fast products.
 */
const BLOCK = 256;

type Matrix = Float64Array<ArrayBuffer>;

/** A block column of the factor L. */
interface Panel {
  /** First row and column; end of the columns (exclusive). */
  readonly start: number;
  readonly end: number;
  /** Inverse of the diagonal block, [b, b], lower triangular. */
  readonly inverse: Matrix;
  /** The rows below the diagonal block, [n − end, b]. */
  readonly below: Matrix;
}

/**
 * X = (A + diag(d))⁻¹·B, [n, m] in row-major order, or null if A + diag(d) is not positive definite in f64.
 * @param a [n, n], row-major; only its lower triangle is read.
 * @param d [n]
 * @param b [n, m], row-major. It is overwritten with X, which is returned.
 */
export async function solvePositiveDefinite(
  products: Products,
  a: Matrix,
  d: Matrix,
  b: Matrix,
  n: number,
): Promise<Matrix | null> {
  const panels = await factor(products, a, d, n);
  if (panels === null) return null;
  const m = b.length / n;
  const multiply = async (transpose: Transpose, left: Matrix, right: Matrix, rows: number, inner: number): Promise<Matrix> =>
    products.run(transpose, left, right, rows, inner, m, products.room("solve", rows * m));
  for (const { start, end, inverse, below } of panels) {
    const own = b.subarray(start * m, end * m);
    own.set(await multiply("plain", inverse, own, end - start, end - start));
    if (end < n) subtract(b.subarray(end * m), await multiply("plain", below, own, n - end, end - start));
  }
  for (const { start, end, inverse, below } of panels.toReversed()) {
    const own = b.subarray(start * m, end * m);
    if (end < n) subtract(own, await multiply("transposeFirst", below, b.subarray(end * m), end - start, n - end));
    own.set(await multiply("transposeFirst", inverse, own, end - start, end - start));
  }
  return b;
}

/**
 * Block columns of L with A + diag(d) = L·Lᵀ, or null if a pivot is not positive. They are valid until the next call.
 */
async function factor(products: Products, a: Matrix, d: Matrix, n: number): Promise<readonly Panel[] | null> {
  const panels: Panel[] = [];
  let room = products.room("factor", belowDiagonal(n));
  for (let start = 0; start < n; start += BLOCK) {
    const end = Math.min(n, start + BLOCK);
    const [size, rows] = [end - start, n - start];
    const column = products.room("column", rows * size);
    for (let row = 0; row < rows; row++) {
      const at = (start + row) * n;
      column.set(a.subarray(at + start, at + end), row * size);
    }
    for (let index = 0; index < size; index++) column[index * size + index]! += d[start + index]!;
    // Subtract the contributions of the block columns before this one. Every value of the products is used.
    for (const before of panels) {
      const width = before.end - before.start;
      const left = before.below.subarray((start - before.end) * width);
      const product = products.room("product", rows * size);
      subtract(column, await products.run("transposeSecond", left, left.subarray(0, size * width), rows, width, size, product));
    }
    const diagonal = column.slice(0, size * size);
    if (!factorInPlace(diagonal, size)) return null;
    const inverse = invertLower(diagonal, size);
    const left = rows - size;
    const below = room.subarray(0, left * size);
    room = room.subarray(left * size);
    if (left > 0) await products.run("transposeSecond", column.subarray(size * size), inverse, left, size, size, below);
    panels.push({ start, end, inverse, below });
  }
  return panels;
}

/** Number of values below the diagonal blocks, of all panels. */
function belowDiagonal(n: number): number {
  let count = 0;
  for (let end = BLOCK; end < n; end += BLOCK) count += (n - end) * BLOCK;
  return count;
}

/** Replaces the lower triangle of a by its Cholesky factor. @returns false if a pivot is not positive. */
function factorInPlace(a: Matrix, size: number): boolean {
  for (let column = 0; column < size; column++) {
    for (let row = column; row < size; row++) {
      let sum = a[row * size + column]!;
      for (let k = 0; k < column; k++) sum -= a[row * size + k]! * a[column * size + k]!;
      if (row > column) a[row * size + column] = sum / a[column * size + column]!;
      else if (sum > 0) a[row * size + column] = Math.sqrt(sum);
      else return false;
    }
  }
  return true;
}

/** Inverse of a lower triangular matrix. */
function invertLower(l: Matrix, size: number): Matrix {
  const inverse = new Float64Array(size * size);
  for (let column = 0; column < size; column++) {
    inverse[column * size + column] = 1 / l[column * size + column]!;
    for (let row = column + 1; row < size; row++) {
      let sum = 0;
      for (let k = column; k < row; k++) sum -= l[row * size + k]! * inverse[k * size + column]!;
      inverse[row * size + column] = sum / l[row * size + row]!;
    }
  }
  return inverse;
}

function subtract(target: Matrix, values: Matrix): void {
  for (let index = 0; index < target.length; index++) target[index] = target[index]! - values[index]!;
}
