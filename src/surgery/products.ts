/**
 * @file Matrix products in f64 on ONNX Runtime, and the arrays that they and their callers reuse.
 */

import { OnnxGraph } from "../model/onnx-graph.ts";
import { GraphSession } from "../model/sessions.ts";

type Matrix = Float64Array<ArrayBuffer>;

const TRANSPOSES = {
  plain: {},
  transposeFirst: { transA: { int: 1 } },
  transposeSecond: { transB: { int: 1 } },
} as const;

/** Which factor of a product is stored transposed. */
export type Transpose = keyof typeof TRANSPOSES;

/** Compiled matrix products in f64. Close them when done. */
export class Products {
  readonly #sessions: Readonly<Record<Transpose, GraphSession<Matrix>>>;
  readonly #rooms = new Map<string, Matrix>();

  private constructor(sessions: Readonly<Record<Transpose, GraphSession<Matrix>>>) {
    this.#sessions = sessions;
  }

  /** Compiles the products. */
  static async create(): Promise<Products> {
    const compile = async (transpose: Transpose): Promise<GraphSession<Matrix>> => {
      const graph = new OnnxGraph();
      const a = graph.input("a", ["A0", "A1"], "f64");
      const b = graph.input("b", ["B0", "B1"], "f64");
      graph.output("c", graph.node("Gemm", [a, b], TRANSPOSES[transpose]), ["C0", "C1"], "f64");
      return GraphSession.create<Matrix>(graph.serialize());
    };
    return new Products({
      plain: await compile("plain"),
      transposeFirst: await compile("transposeFirst"),
      transposeSecond: await compile("transposeSecond"),
    });
  }

  /**
   * The product [rows, columns] over `inner` terms; the factors are given as they are stored.
   * @param into receives the product; has its size, and is neither of the factors.
   */
  async run(
    transpose: Transpose,
    a: Matrix,
    b: Matrix,
    rows: number,
    inner: number,
    columns: number,
    into: Matrix = new Float64Array(rows * columns),
  ): Promise<Matrix> {
    await this.#sessions[transpose].run(
      {
        a: { data: a, shape: transpose === "transposeFirst" ? [inner, rows] : [rows, inner] },
        b: { data: b, shape: transpose === "transposeSecond" ? [columns, inner] : [inner, columns] },
      },
      undefined,
      { c: { data: into, shape: [rows, columns] } },
    );
    return into;
  }

  /**
   * Room for `size` numbers, not cleared. A name always gets the same memory: new arrays of this size would cost more
   * in pages and in garbage collection than the products themselves (docs/LOG.md).
   */
  room(name: string, size: number): Matrix {
    let room = this.#rooms.get(name);
    if (room === undefined || room.length < size) {
      room = new Float64Array(size);
      this.#rooms.set(name, room);
    }
    return room.subarray(0, size);
  }

  /** Frees the sessions and the rooms. */
  async close(): Promise<void> {
    this.#rooms.clear();
    for (const session of Object.values(this.#sessions)) await session.close();
  }
}
