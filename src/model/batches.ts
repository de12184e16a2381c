/**
 * @file Groups documents of different lengths into batches of nearly equal length.
 * Padding is on the right: causal attention never looks at it, and energies mask it.
 */

import type { TokenDocument } from "../corpora/corpus.ts";

/**
 * Tokens in a batch, padding included, unless one document alone is longer. Large enough for matrix products at full
 * speed, small enough that activations are not fresh pages of memory for every operator (docs/LOG.md).
 */
export const MAX_BATCH_TOKENS = 512;

/** Documents that run together, and how long the longest is. */
export interface BatchShape {
  /** Indices into the list of documents, in the order of the batch's rows. */
  readonly documents: readonly number[];
  /** Length T of the longest document: every row has this many tokens. */
  readonly length: number;
}

/** A batch with its tokens. */
export interface Batch extends BatchShape {
  /** Token ids [B, T], 0 where padded. */
  readonly tokens: Int32Array;
  /** Shape [B, T]: 1 where a token is real. */
  readonly mask: Float32Array<ArrayBuffer>;
}

/**
 * Puts every document into a batch. Documents are sorted by length so that little is padded.
 * @param maxTokens of a batch, padding included, unless one document alone is longer; see `planMemory`.
 */
export function makeBatches(documents: readonly TokenDocument[], maxTokens: number): readonly Batch[] {
  const shapes = planBatches(
    documents.map(({ tokens }) => tokens.length),
    maxTokens,
  );
  return shapes.map(({ documents: indices, length }) => makeBatch(documents, indices, length));
}

/** The batches of documents of these lengths. */
export function planBatches(lengths: readonly number[], maxTokens: number): readonly BatchShape[] {
  const order = lengths.map((_, index) => index).toSorted((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: BatchShape[] = [];
  for (let start = 0; start < order.length;) {
    const length = lengths[order[start]!]!;
    const rows = Math.max(1, Math.floor(maxTokens / length));
    batches.push({ documents: order.slice(start, start + rows), length });
    start += rows;
  }
  return batches;
}

function makeBatch(documents: readonly TokenDocument[], indices: readonly number[], length: number): Batch {
  const tokens = new Int32Array(indices.length * length);
  const mask = new Float32Array(indices.length * length);
  for (const [row, index] of indices.entries()) {
    const { tokens: own } = documents[index]!;
    tokens.set(own, row * length);
    mask.fill(1, row * length, row * length + own.length);
  }
  return { documents: indices, length, tokens, mask };
}
