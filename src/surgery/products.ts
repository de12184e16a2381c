/**
 * @file Matrix products in f32 on ONNX Runtime, and the arrays that they and their callers reuse.
 */

import { OnnxGraph } from "../model/onnx-graph.ts";
import { GraphSession } from "../model/sessions.ts";

/** A matrix, row-major. */
export type Matrix = Float32Array<ArrayBuffer>;

/** How a product is computed. */
export interface ProductOptions {
  /** The first factor is stored transposed. */
  readonly transposeFirst?: true;
  /** The second factor is stored transposed. */
  readonly transposeSecond?: true;
  /** The product is added to what the result's array holds, or subtracted from it, instead of replacing it. */
  readonly onto?: "add" | "subtract";
}

/** Compiled matrix products in f32. Close them when done. */
export class Products {
  readonly #sessions = new Map<string, GraphSession>();
  readonly #rooms = new Map<string, Matrix>();

  /**
   * The product [rows, columns] over `inner` terms; the factors are given as they are stored.
   * @param into receives the product; has its size, and is neither of the factors.
   */
  async run(
    a: Matrix,
    b: Matrix,
    [rows, inner, columns]: readonly [rows: number, inner: number, columns: number],
    into: Matrix,
    options: ProductOptions = {},
  ): Promise<Matrix> {
    const session = await this.#session(options);
    const result = { data: into, shape: [rows, columns] };
    await session.run(
      {
        a: { data: a, shape: options.transposeFirst ? [inner, rows] : [rows, inner] },
        b: { data: b, shape: options.transposeSecond ? [columns, inner] : [inner, columns] },
        // The operator adds in place: its third input and its output may be the same memory.
        ...(options.onto !== undefined && { onto: result }),
      },
      undefined,
      { c: result },
    );
    return into;
  }

  /**
   * Splits the columns of a [rows, Σ widths] into blocks [rows, width], each written to its array of `into`.
   */
  async splitColumns(a: Matrix, rows: number, widths: readonly number[], into: readonly Matrix[]): Promise<void> {
    const key = `split ${widths.join(" ")}`;
    const session = await this.#sessionOf(key, (graph) => {
      const columns = widths.reduce((sum, width) => sum + width, 0);
      const inputs = [graph.input("a", ["A0", columns]), graph.integers(widths)];
      const blocks = graph.nodes("Split", inputs, widths.length, { axis: { int: 1 } });
      for (const [index, block] of blocks.entries()) graph.output(`c${index}`, block, ["A0", widths[index]!]);
    });
    const columns = a.length / rows;
    const outputs = into.map((data, index) => [`c${index}`, { data, shape: [rows, widths[index]!] }] as const);
    await session.run({ a: { data: a, shape: [rows, columns] } }, undefined, Object.fromEntries(outputs));
  }

  /**
   * Room for `size` numbers, not cleared. A name always gets the same memory: new arrays of this size would cost more
   * in pages and in garbage collection than the products themselves (docs/LOG.md).
   */
  room(name: string, size: number): Matrix {
    let room = this.#rooms.get(name);
    if (room === undefined || room.length < size) {
      room = new Float32Array(size);
      this.#rooms.set(name, room);
    }
    return room.subarray(0, size);
  }

  /** Frees the sessions and the rooms. */
  async close(): Promise<void> {
    this.#rooms.clear();
    for (const session of this.#sessions.values()) await session.close();
    this.#sessions.clear();
  }

  #session({ transposeFirst, transposeSecond, onto }: ProductOptions): Promise<GraphSession> {
    const key = `${transposeFirst ?? false} ${transposeSecond ?? false} ${onto ?? ""}`;
    return this.#sessionOf(key, (graph) => {
      const factors = [graph.input("a", ["A0", "A1"]), graph.input("b", ["B0", "B1"])];
      const product = graph.node("Gemm", onto === undefined ? factors : [...factors, graph.input("onto", ["C0", "C1"])], {
        transA: { int: transposeFirst ? 1 : 0 },
        transB: { int: transposeSecond ? 1 : 0 },
        alpha: { float: onto === "subtract" ? -1 : 1 },
      });
      graph.output("c", product, ["C0", "C1"]);
    });
  }

  async #sessionOf(key: string, build: (graph: OnnxGraph) => void): Promise<GraphSession> {
    let session = this.#sessions.get(key);
    if (session === undefined) {
      const graph = new OnnxGraph();
      build(graph);
      session = await GraphSession.create(graph.serialize());
      this.#sessions.set(key, session);
    }
    return session;
  }
}
