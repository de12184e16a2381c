/**
 * @file Matrix products in f64 on ONNX Runtime.
 */

import { OnnxGraph } from "../scoring/onnx-graph.ts";
import { GraphSession } from "../scoring/sessions.ts";

type Matrix = Float64Array<ArrayBuffer>;

const TRANSPOSES = {
  plain: {},
  transposeFirst: { transA: { int: 1 } },
  transposeSecond: { transB: { int: 1 } },
} as const;

/** Which factor of a product is given transposed. */
export type Transpose = keyof typeof TRANSPOSES;

/** Compiled matrix products in f64. Close them when done. */
export class Products {
  readonly #sessions: Readonly<Record<Transpose, GraphSession<Matrix>>>;

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

  /** The product [rows, columns] over `inner` terms; the factors are given as they are stored. */
  async run(
    transpose: keyof typeof TRANSPOSES,
    a: Matrix,
    b: Matrix,
    rows: number,
    inner: number,
    columns: number,
  ): Promise<Matrix> {
    const { c } = await this.#sessions[transpose].run({
      a: { data: a, shape: transpose === "transposeFirst" ? [inner, rows] : [rows, inner] },
      b: { data: b, shape: transpose === "transposeSecond" ? [columns, inner] : [inner, columns] },
    });
    return c!;
  }

  /** Frees the sessions. */
  async close(): Promise<void> {
    for (const session of Object.values(this.#sessions)) await session.close();
  }
}
