/**
 * @file Arrays for the large outputs of a block, reused from batch to batch: as garbage they would add up to several
 * times the hidden states before they are collected (docs/LOG.md).
 */

import type { Batch } from "./batches.ts";
import { type BlockRequest, streamOutputs } from "./block-request.ts";
import { type BlockShape, innerSize } from "./block-shape.ts";
import type { Feed } from "./sessions.ts";

/** Room for the outputs of one block over all batches. */
export class OutputBuffers {
  /** Outputs [B, T, width], each with room for the largest batch. */
  readonly #outputs: readonly { readonly name: string; readonly width: number; readonly data: Float32Array<ArrayBuffer> }[];

  constructor(batches: readonly Batch[], shape: BlockShape, request: BlockRequest) {
    const largest = batches.reduce((most, { tokens }) => Math.max(most, tokens.length), 0);
    const widths = new Map<string, number>(streamOutputs(request).map((name) => [name, shape.hiddenSize]));
    if (request.part === "inner") widths.set("inner", innerSize(shape, request.matrix));
    this.#outputs = [...widths].map(([name, width]) => ({ name, width, data: new Float32Array(largest * width) }));
  }

  /** By name, for one batch. */
  of({ documents, length }: Batch): Readonly<Record<string, Feed>> {
    const rows = documents.length * length;
    return Object.fromEntries(
      this.#outputs.map(({ name, width, data }) => [
        name,
        { data: data.subarray(0, rows * width), shape: [documents.length, length, width] },
      ]),
    );
  }
}
