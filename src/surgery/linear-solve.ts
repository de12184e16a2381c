/**
 * @file Solves A·X = B for a symmetric positive definite A in f64: a blocked Cholesky factorisation whose large products run on
 * ONNX Runtime. Source: Golub & Van Loan, Matrix Computations, 4.2.5 (blocked, right-looking). No kept JavaScript library does this at
 * the speed of a matrix product.
 */

import type { Products } from "./products.ts";

/** Columns of a block: small enough that the plain loops inside a block take little of the time, large enough for fast products. */
const BLOCK = 256;

type Matrix = Float64Array<ArrayBuffer>;

/** A block column of the factor L. */
interface Panel {
  /** First row and column, and one past the last column. */
  readonly start: number;
  readonly end: number;
  /** Inverse of the diagonal block, [b, b], lower triangular. */
  readonly inverse: Matrix;
  /** The rows below the diagonal block, [n − end, b]. */
  readonly below: Matrix;
}

/**
 * X = A⁻¹·B, [n, m] in row-major order, or null where A is not positive definite in f64.
 * @param a [n, n], row-major; only its lower triangle is read. It is overwritten.
 * @param b [n, m], row-major. It is overwritten with X, which is returned.
 */
export async function solvePositiveDefinite(products: Products, a: Matrix, b: Matrix, n: number): Promise<Matrix | null> {
  const panels = await factor(products, a, n);
  if (panels === null) return null;
  const m = b.length / n;
  for (const { start, end, inverse, below } of panels) {
    const own = b.subarray(start * m, end * m);
    own.set(await products.run("plain", inverse, own.slice(), end - start, end - start, m));
    if (end < n) subtract(b.subarray(end * m), await products.run("plain", below, own.slice(), n - end, end - start, m));
  }
  for (const { start, end, inverse, below } of panels.toReversed()) {
    const own = b.subarray(start * m, end * m);
    if (end < n) subtract(own, await products.run("transposeFirst", below, b.slice(end * m), end - start, n - end, m));
    own.set(await products.run("transposeFirst", inverse, own.slice(), end - start, end - start, m));
  }
  return b;
}

/** Block columns of L with A = L·Lᵀ, or null where a pivot is not positive. */
async function factor(products: Products, a: Matrix, n: number): Promise<readonly Panel[] | null> {
  const panels: Panel[] = [];
  for (let start = 0; start < n; start += BLOCK) {
    const end = Math.min(n, start + BLOCK);
    const size = end - start;
    const diagonal = copyBlock(a, n, start, end, start, end);
    if (!factorInPlace(diagonal, size)) return null;
    const inverse = invertLower(diagonal, size);
    const rows = n - end;
    // L21 = A21 · L11⁻ᵀ, then A22 −= L21 · L21ᵀ.
    const below =
      rows === 0
        ? new Float64Array()
        : await products.run("transposeSecond", copyBlock(a, n, end, n, start, end), inverse, rows, size, size);
    panels.push({ start, end, inverse, below });
    if (rows > 0) {
      const update = await products.run("transposeSecond", below, below, rows, size, rows);
      for (let row = 0; row < rows; row++) {
        const target = (end + row) * n + end;
        for (let column = 0; column <= row; column++) a[target + column] = a[target + column]! - update[row * rows + column]!;
      }
    }
  }
  return panels;
}

/** Rows `[rowStart, rowEnd)` and columns `[columnStart, columnEnd)` of a matrix with n columns. */
function copyBlock(a: Matrix, n: number, rowStart: number, rowEnd: number, columnStart: number, columnEnd: number): Matrix {
  const width = columnEnd - columnStart;
  const block = new Float64Array((rowEnd - rowStart) * width);
  for (let row = rowStart; row < rowEnd; row++) {
    block.set(a.subarray(row * n + columnStart, row * n + columnEnd), (row - rowStart) * width);
  }
  return block;
}

/** Replaces the lower triangle of a by its Cholesky factor; false where a pivot is not positive. */
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
