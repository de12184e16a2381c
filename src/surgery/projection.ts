/**
 * @file Random projection of outputs: the squared error of a fit over D outputs is estimated without bias from m random
 * signed sums of them. Ridge strengths are compared on these, so that trying one costs a factorization and little more.
 * Source: Achlioptas 2003, Database-friendly random projections (signs).
 */

import { MAX_PROJECTED } from "../model/memory-plan.ts";
import type { Matrix, Products } from "./products.ts";

/** Ω [D, m], entries ±1/√m; the identity if D is not above m. The same for every D in all runs. */
export class Projection {
  /** D */
  readonly outputs: number;
  /** m */
  readonly projected: number;
  /** Null for the identity. */
  readonly #matrix: Matrix | null;

  constructor(outputs: number) {
    this.outputs = outputs;
    this.projected = Math.min(outputs, MAX_PROJECTED);
    this.#matrix = outputs > MAX_PROJECTED ? signs(outputs * MAX_PROJECTED, 1 / Math.sqrt(MAX_PROJECTED)) : null;
  }

  /**
   * x·Ω for x [rows, D]: [rows, m].
   * @param name of the room that receives it.
   */
  async project(products: Products, x: Matrix, rows: number, name: string): Promise<Matrix> {
    const { outputs, projected } = this;
    const room = products.room(name, rows * projected);
    if (this.#matrix !== null) return products.run(x, this.#matrix, [rows, outputs, projected], room);
    room.set(x);
    return room;
  }
}

/** Signs from a fixed seed (xorshift32, Marsaglia 2003), times a scale. */
function signs(count: number, scale: number): Matrix {
  let state = 0x9e3779b9;
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state < 0 ? -scale : scale;
  });
}
