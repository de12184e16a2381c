/**
 * @file Arrays for the large outputs of a block, used again from batch to batch: as garbage they would come to several times the hidden
 * states before they are collected (docs/LOG.md).
 */

import type { Batch } from "./batches.ts";
import type { BlockRequest } from "./block-energies.ts";
import type { BlockShape } from "./block-shape.ts";
import { zeroFeed, type Feed } from "./sessions.ts";

/** Room for the outputs of one block over all batches. */
export class OutputBuffers {
  readonly #hiddenSize: number;
  /** Outputs [B, T, D], each with room for the largest batch. */
  readonly #hidden: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** Outputs whose shape is that of no batch. */
  readonly #fixed: Readonly<Record<string, Feed>>;

  constructor(batches: readonly Batch[], shape: BlockShape, { fit, attentionStream }: BlockRequest) {
    const { hiddenSize: D, numAttentionHeads: H, headDim: K, intermediateSize: F } = shape;
    this.#hiddenSize = D;
    const largest = batches.reduce((most, { tokens }) => Math.max(most, tokens.length), 0) * D;
    const names = [
      ...(fit === undefined && attentionStream !== "only" ? ["y"] : []),
      ...(attentionStream === undefined ? [] : ["attentionStream"]),
    ];
    this.#hidden = new Map(names.map((name) => [name, new Float32Array(largest)]));
    const n = fit === "o" ? H * K : F;
    this.#fixed = fit === undefined ? {} : { gram: zeroFeed(n, n), cross: zeroFeed(n, D), targetEnergy: zeroFeed(D) };
  }

  /** By name, for one batch. */
  of({ documents, length }: Batch): Readonly<Record<string, Feed>> {
    const shape = [documents.length, length, this.#hiddenSize];
    const size = documents.length * length * this.#hiddenSize;
    const hidden = [...this.#hidden].map(([name, data]): [string, Feed] => [name, { data: data.subarray(0, size), shape }]);
    return { ...this.#fixed, ...Object.fromEntries(hidden) };
  }
}
