/**
 * @file The input of a sublayer of the pruned model against that of the dense model: normal equations of the linear map
 * between them. With P and Q the residual streams [tokens, D] of the pruned and the dense model before a sublayer,
 * after its norm if it has one, M = argmin ‖P·M − Q‖² + ridge towards the identity. Every matrix W [n, D] that reads
 * the sublayer's input then becomes W·Mᵀ: applying W·Mᵀ to P gives nearly what W gave on Q. Ridge towards the identity
 * is ridge towards W for all of them at once. Source: docs/architecture.md, "Repair".
 */

import type { Batch } from "../model/batches.ts";
import { OnnxGraph, type Value } from "../model/onnx-graph.ts";
import { GraphSession, zeroFeed } from "../model/sessions.ts";
import type { Feed } from "../model/sessions.ts";
import type { NormalEquations } from "./repair-fit.ts";

/** Sums for streams of one hidden size, compiled when they are first needed. Close them when done. */
export class StreamSums {
  readonly #hiddenSize: number;
  readonly #epsilon: number;
  readonly #sessions = new Map<"normed" | "plain", GraphSession>();
  /** Outputs, reused from batch to batch. */
  readonly #sums: Readonly<Record<string, Feed>>;

  /** @param epsilon of the norms. */
  constructor(hiddenSize: number, epsilon: number) {
    this.#hiddenSize = hiddenSize;
    this.#epsilon = epsilon;
    const D = hiddenSize;
    this.#sums = { gram: zeroFeed(D, D), cross: zeroFeed(D, D), targetEnergy: zeroFeed(D) };
  }

  /**
   * Adds a batch to normal equations.
   * @param pruned residual stream before the sublayer, [B, T, D]; `dense`: the same for the dense model.
   * @param norm the weights [D] of the norm before the sublayer, as they are applied; null if it has none.
   */
  async addTo(
    equations: NormalEquations,
    { mask, documents, length }: Batch,
    pruned: Float32Array<ArrayBuffer>,
    dense: Float32Array<ArrayBuffer>,
    norm: Feed | null,
  ): Promise<void> {
    const shape = [documents.length, length, this.#hiddenSize];
    const feeds = {
      pruned: { data: pruned, shape },
      dense: { data: dense, shape },
      ...(norm !== null && { norm }),
      mask: { data: mask, shape: [documents.length, length] },
    };
    const session = await this.#session(norm === null ? "plain" : "normed");
    const { gram, cross, targetEnergy } = await session.run(feeds, undefined, this.#sums);
    equations.add({ gram: gram!, cross: cross!, targetEnergy: targetEnergy! });
  }

  /** Frees the sessions. */
  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.close();
    this.#sessions.clear();
  }

  async #session(kind: "normed" | "plain"): Promise<GraphSession> {
    let session = this.#sessions.get(kind);
    if (session === undefined) {
      session = await GraphSession.create(buildSums(this.#hiddenSize, kind === "normed" ? this.#epsilon : null));
      this.#sessions.set(kind, session);
    }
    return session;
  }
}

/** @param epsilon of the norm; null for a sublayer without one. */
function buildSums(D: number, epsilon: number | null): Uint8Array<ArrayBuffer> {
  const g = new OnnxGraph();
  const norm = epsilon === null ? null : { weight: g.input("norm", [D]), epsilon };
  const mask = g.reshape(g.input("mask", ["B", "T"]), [-1, 1]);
  const rows = (name: string): Value => {
    const stream = g.input(name, ["B", "T", D]);
    const input = norm === null ? stream : g.rmsNorm(stream, norm.weight, norm.epsilon);
    return g.multiply(g.reshape(input, [-1, D]), mask);
  };
  const [p, q] = [rows("pruned"), rows("dense")];
  const transposed = g.transpose(p, [1, 0]);
  g.output("gram", g.matmul(transposed, p), [D, D]);
  g.output("cross", g.matmul(transposed, q), [D, D]);
  g.output("targetEnergy", g.sumOfSquares(q, [0]), [D]);
  return g.serialize();
}
