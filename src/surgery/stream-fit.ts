/**
 * @file What a sublayer of the pruned model is fed against what the dense model's is: normal equations of the linear map between them. With P and
 * Q the normed residual streams [tokens, D] of the pruned and the dense model before a sublayer, M = argmin ‖P·M − Q‖² + ridge towards the
 * identity. Every matrix W [n, D] that reads the sublayer's input then becomes W·Mᵀ, which gives, on P, nearly what W gives on Q. Ridge
 * towards the identity is ridge towards W for all of them at once.
 */

import type { Batch } from "../model/batches.ts";
import { OnnxGraph } from "../model/onnx-graph.ts";
import { GraphSession, zeroFeed } from "../model/sessions.ts";
import type { Feed } from "../model/sessions.ts";
import type { NormalEquations } from "./repair-fit.ts";

/** Compiled sums for streams of one hidden size. Close it when done. */
export class StreamSums {
  readonly #session: GraphSession;
  /** Outputs, used again from batch to batch. */
  readonly #sums: Readonly<Record<string, Feed>>;

  private constructor(session: GraphSession, D: number) {
    this.#session = session;
    this.#sums = { gram: zeroFeed(D, D), cross: zeroFeed(D, D), targetEnergy: zeroFeed(D) };
  }

  /** Compiles the sums. */
  static async create(D: number, epsilon: number): Promise<StreamSums> {
    const g = new OnnxGraph();
    const norm = g.input("norm", [D]);
    const mask = g.reshape(g.input("mask", ["B", "T"]), [-1, 1]);
    const rows = (name: string): ReturnType<OnnxGraph["input"]> =>
      g.multiply(g.reshape(g.rmsNorm(g.input(name, ["B", "T", D]), norm, epsilon), [-1, D]), mask);
    const [p, q] = [rows("pruned"), rows("dense")];
    const transposed = g.transpose(p, [1, 0]);
    g.output("gram", g.matmul(transposed, p), [D, D]);
    g.output("cross", g.matmul(transposed, q), [D, D]);
    g.output("targetEnergy", g.sumOfSquares(q, [0]), [D]);
    return new StreamSums(await GraphSession.create(g.serialize()), D);
  }

  /**
   * Adds a batch to normal equations.
   * @param pruned residual stream before the sublayer, [B, T, D]; `dense` likewise.
   * @param norm the sublayer's norm as it is applied, [D].
   */
  async addTo(
    equations: NormalEquations,
    { mask, documents, length }: Batch,
    pruned: Float32Array<ArrayBuffer>,
    dense: Float32Array<ArrayBuffer>,
    norm: Feed,
  ): Promise<void> {
    const shape = [documents.length, length, norm.data.length];
    const feeds = {
      pruned: { data: pruned, shape },
      dense: { data: dense, shape },
      norm,
      mask: { data: mask, shape: [documents.length, length] },
    };
    const { gram, cross, targetEnergy } = await this.#session.run(feeds, undefined, this.#sums);
    equations.add({ gram: gram!, cross: cross!, targetEnergy: targetEnergy! });
  }

  /** Frees the session. */
  async close(): Promise<void> {
    await this.#session.close();
  }
}
