/**
 * @file Arrays for the large outputs of a block, reused from batch to batch: as garbage they would add up to several
 * times the hidden states before they are collected (docs/LOG.md).
 */

import type { Batch } from "./batches.ts";
import { type BlockRequest, streamOutputs } from "./block-request.ts";
import type { BlockShape } from "./block-shape.ts";
import { zeroFeed, type Feed } from "./sessions.ts";

/** Room for the outputs of one block over all batches. */
export class OutputBuffers {
  readonly #hiddenSize: number;
  /** Outputs [B, T, D], each with room for the largest batch. */
  readonly #streams: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** Outputs whose shape does not depend on the batch. */
  readonly #fixed: Readonly<Record<string, Feed>>;

  constructor(batches: readonly Batch[], shape: BlockShape, request: BlockRequest) {
    const { hiddenSize: D, numAttentionHeads: H, headDim: K, intermediateSize: F } = shape;
    this.#hiddenSize = D;
    const largest = batches.reduce((most, { tokens }) => Math.max(most, tokens.length), 0) * D;
    this.#streams = new Map(streamOutputs(request).map((name) => [name, new Float32Array(largest)]));
    if (request.part === "fit") {
      const n = request.matrix === "o" ? H * K : F;
      this.#fixed = { gram: zeroFeed(n, n), cross: zeroFeed(n, D), targetEnergy: zeroFeed(D) };
    } else this.#fixed = {};
  }

  /** By name, for one batch. */
  of({ documents, length }: Batch): Readonly<Record<string, Feed>> {
    const shape = [documents.length, length, this.#hiddenSize];
    const size = documents.length * length * this.#hiddenSize;
    const streams = [...this.#streams].map(([name, data]): [string, Feed] => [name, { data: data.subarray(0, size), shape }]);
    return { ...this.#fixed, ...Object.fromEntries(streams) };
  }
}
