/**
 * @file The lower triangle of a symmetric matrix in square blocks: half of the memory, and half of the work of every
 * product that makes it.
 */

import { MAX_BLOCK } from "../model/memory-plan.ts";
import type { Matrix, Products } from "./products.ts";

/** A range of rows or columns. */
export interface Span {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly size: number;
}

/** Splits n rows into blocks of nearly equal size. */
export function blockSpans(n: number): readonly Span[] {
  const count = Math.max(1, Math.ceil(n / MAX_BLOCK));
  return Array.from({ length: count }, (_, index) => {
    const [start, end] = [Math.floor((index * n) / count), Math.floor(((index + 1) * n) / count)];
    return { start, end, size: end - start };
  });
}

/** The number of values in the blocks of an [n, n] matrix. */
export function lowerBlocksSize(n: number): number {
  const spans = blockSpans(n);
  return spans.reduce((sum, { start, size }) => sum + size * (start + size), 0);
}

/** The blocks on and below the diagonal of a symmetric matrix [n, n]. */
export class LowerBlocks {
  readonly spans: readonly Span[];
  /** All blocks, one after the other. */
  readonly values: Matrix;
  /** By block row, then block column. */
  readonly #blocks: readonly (readonly Matrix[])[];

  /** @param values room for `lowerBlocksSize(n)` numbers. */
  constructor(n: number, values: Matrix) {
    this.spans = blockSpans(n);
    this.values = values;
    let at = 0;
    this.#blocks = this.spans.map((rows, index) =>
      this.spans.slice(0, index + 1).map((columns) => {
        const from = at;
        at += rows.size * columns.size;
        return values.subarray(from, at);
      }),
    );
  }

  /** The block of a block row and a block column that is not after it, [rows, columns]. */
  block(row: number, column: number): Matrix {
    return this.#blocks[row]![column]!;
  }

  /** The matrix' diagonal, [n]. */
  diagonal(): Float64Array<ArrayBuffer> {
    const diagonal = new Float64Array(this.spans.at(-1)!.end);
    for (const [index, { start, size }] of this.spans.entries()) {
      const block = this.block(index, index);
      for (let at = 0; at < size; at++) diagonal[start + at] = block[at * size + at]!;
    }
    return diagonal;
  }

  /** The product with x [n, m], written to `into` [n, m]. */
  async times(products: Products, x: Matrix, m: number, into: Matrix): Promise<Matrix> {
    into.fill(0);
    for (const [row, rows] of this.spans.entries()) {
      const target = into.subarray(rows.start * m, rows.end * m);
      for (const [column, columns] of this.spans.entries()) {
        const isBelow = column <= row;
        const block = isBelow ? this.block(row, column) : this.block(column, row);
        const factor = x.subarray(columns.start * m, columns.end * m);
        await products.run(block, factor, [rows.size, columns.size, m], target, {
          onto: "add",
          ...(!isBelow && { transposeFirst: true }),
        });
      }
    }
    return into;
  }
}
