/**
 * @file The sums over tokens from which a matrix is fitted. Tokens are collected until there are enough for products at
 * full speed; only the lower triangle of AᵀA is computed, and products are added where the sums are.
 */

import type { BatchShape } from "../model/batches.ts";
import { CHUNK_TOKENS } from "../model/memory-plan.ts";
import { blockSpans, LowerBlocks, lowerBlocksSize } from "./lower-blocks.ts";
import type { Matrix, Products } from "./products.ts";
import type { Projection } from "./projection.ts";

/** Sums over tokens: of inputs A [tokens, n] and targets Y [tokens, D]. */
export class NormalEquations {
  readonly width: number;
  readonly outputs: number;
  /** AᵀA, [n, n]. */
  readonly gram: LowerBlocks;
  /** AᵀY, [n, D]. */
  readonly cross: Matrix;
  readonly #products: Products;
  readonly #projection: Projection;
  /** Tokens that are not in the sums yet, [CHUNK_TOKENS, n] and [CHUNK_TOKENS, D]; then A's columns by block. */
  readonly #inputs: Matrix;
  readonly #targets: Matrix;
  readonly #blocks: readonly Matrix[];
  #pending = 0;
  #energy = 0;

  /**
   * Sums without tokens. Those of the same name before them are lost.
   * @param projection of the targets, in which errors are measured.
   */
  constructor(products: Products, name: string, width: number, projection: Projection) {
    const { outputs } = projection;
    const room = (what: string, size: number): Matrix => products.room(`${what} of ${name}`, size);
    this.width = width;
    this.outputs = outputs;
    this.gram = new LowerBlocks(width, room("gram", lowerBlocksSize(width)).fill(0));
    this.cross = room("cross", width * outputs).fill(0);
    this.#products = products;
    this.#projection = projection;
    this.#inputs = room("inputs", CHUNK_TOKENS * width);
    const blocks = products.room("blocks of inputs", CHUNK_TOKENS * width);
    this.#blocks = blockSpans(width).map(({ start, end }) => blocks.subarray(CHUNK_TOKENS * start, CHUNK_TOKENS * end));
    this.#targets = room("targets", CHUNK_TOKENS * outputs);
  }

  /** Σ (Y·Ω)² over all tokens, Ω the projection. */
  get targetEnergy(): number {
    return this.#energy;
  }

  /**
   * Adds tokens.
   * @param inputs rows of A, each `width` numbers from its start; `targets`: rows of Y.
   * @param rows the first one and the end (exclusive) in both.
   * @param scale factor of each row of A; null for 1.
   */
  async add(inputs: Matrix, targets: Matrix, rows: readonly [number, number], scale: Matrix | null): Promise<void> {
    const { width: n, outputs: D } = this;
    for (let row = rows[0]; row < rows[1];) {
      const end = Math.min(rows[1], row + CHUNK_TOKENS - this.#pending);
      this.#inputs.set(inputs.subarray(row * n, end * n), this.#pending * n);
      if (scale !== null) scaleRows(this.#inputs.subarray(this.#pending * n), scale.subarray(row, end), n);
      this.#targets.set(targets.subarray(row * D, end * D), this.#pending * D);
      this.#pending += end - row;
      row = end;
      if (this.#pending === CHUNK_TOKENS) await this.finish();
    }
  }

  /** Brings the tokens that are still waiting into the sums. */
  async finish(): Promise<void> {
    const tokens = this.#pending;
    if (tokens === 0) return;
    this.#pending = 0;
    const D = this.outputs;
    const { spans } = this.gram;
    const inputs = spans.map(({ size }, index) => this.#blocks[index]!.subarray(0, tokens * size));
    const widths = spans.map(({ size }) => size);
    await this.#products.splitColumns(this.#inputs.subarray(0, tokens * this.width), tokens, widths, inputs);
    const targets = this.#targets.subarray(0, tokens * D);
    const options = { onto: "add", transposeFirst: true } as const;
    for (const [row, { start, end, size }] of spans.entries()) {
      for (let column = 0; column <= row; column++) {
        const shape = [size, tokens, spans[column]!.size] as const;
        await this.#products.run(inputs[row]!, inputs[column]!, shape, this.gram.block(row, column), options);
      }
      await this.#products.run(inputs[row]!, targets, [size, tokens, D], this.cross.subarray(start * D, end * D), options);
    }
    this.#energy += sumOfSquares(await this.#projection.project(this.#products, targets, tokens, "projected targets"));
  }

  /** Adds other finished equations of the same size. */
  addAll(other: NormalEquations): void {
    addInto(this.gram.values, other.gram.values);
    addInto(this.cross, other.cross);
    this.#energy += other.targetEnergy;
  }
}

/**
 * Adds the real tokens of a batch.
 * @param sumsOf the equations that a document's tokens are added to.
 * @param lengths tokens of each document.
 * @param inputs [B, T, n]; `targets` [B, T, D]; `scale` [B, T], or null for 1.
 */
export async function addBatch(
  sumsOf: (document: number) => NormalEquations,
  { documents, length }: BatchShape,
  lengths: readonly number[],
  inputs: Matrix,
  targets: Matrix,
  scale: Matrix | null,
): Promise<void> {
  for (const [row, document] of documents.entries()) {
    const start = row * length;
    await sumsOf(document).add(inputs, targets, [start, start + lengths[document]!], scale);
  }
}

/** Multiplies each row of n values by its factor. */
function scaleRows(rows: Matrix, factors: Matrix, n: number): void {
  for (const [row, factor] of factors.entries())
    for (let index = row * n; index < (row + 1) * n; index++) rows[index] = rows[index]! * factor;
}

function addInto(target: Matrix, values: Matrix): void {
  for (let index = 0; index < target.length; index++) target[index] = target[index]! + values[index]!;
}

function sumOfSquares(values: Matrix): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return sum;
}
