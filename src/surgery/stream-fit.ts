/**
 * @file The input of a sublayer of the pruned model against that of the dense model: the rows of the linear map between
 * them. With P and Q the residual streams [tokens, D] of the pruned and the dense model before a sublayer, after its
 * norm if it has one, M = argmin ‖P·M − Q‖² + ridge towards the identity. Every matrix W [n, D] that reads the
 * sublayer's input then becomes W·Mᵀ: applying W·Mᵀ to P gives nearly what W gave on Q. Ridge towards the identity is
 * ridge towards W for all of them at once. Source: docs/architecture.md, "Repair".
 */

import { OnnxGraph } from "../model/onnx-graph.ts";
import { type Feed, GraphSession } from "../model/sessions.ts";
import type { Matrix, Products } from "./products.ts";

/** The norm before a sublayer, for streams of one hidden size, compiled when it is first needed. Close it when done. */
export class StreamNorm {
  readonly #hiddenSize: number;
  readonly #epsilon: number;
  readonly #products: Products;
  #session: GraphSession | null = null;

  /** @param epsilon of the norms. */
  constructor(products: Products, hiddenSize: number, epsilon: number) {
    this.#products = products;
    this.#hiddenSize = hiddenSize;
    this.#epsilon = epsilon;
  }

  /**
   * A batch's rows as the sublayer reads them, [tokens, D].
   * @param stream the residual stream before the sublayer, [tokens, D].
   * @param norm the weights [D] of the norm before the sublayer, as they are applied; null if it has none.
   * @param name of the room that receives them.
   */
  async rows(stream: Matrix, norm: Feed | null, name: string): Promise<Matrix> {
    if (norm === null) return stream;
    const shape = [stream.length / this.#hiddenSize, this.#hiddenSize];
    const rows = this.#products.room(name, stream.length);
    this.#session ??= await GraphSession.create(buildNorm(this.#hiddenSize, this.#epsilon));
    await this.#session.run({ x: { data: stream, shape }, norm }, undefined, { y: { data: rows, shape } });
    return rows;
  }

  /** Frees the session. */
  async close(): Promise<void> {
    await this.#session?.close();
    this.#session = null;
  }
}

function buildNorm(D: number, epsilon: number): Uint8Array<ArrayBuffer> {
  const g = new OnnxGraph();
  g.output("y", g.rmsNorm(g.input("x", ["N", D]), g.input("norm", [D]), epsilon), ["N", D]);
  return g.serialize();
}
