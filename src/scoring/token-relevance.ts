/**
 * @file Tokens as units: how relevant each row of the embedding is to each dimension, from what the model itself expects to be written there and from what is.
 *
 *     relevance of token t to a dimension = mean over sources of t's share of the dimension's tokens
 *     sources: mean over positions of P(t | what stands before), by the model · counts in the corpus · counts in a list of the language's words
 *
 * The model's expectation knows words that no small corpus shows; the counts know what it is not aware of. A token's relevance is, at a fixed cost of each split,
 * the damage of its removal.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Dimension, TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import type { Batch } from "./batches.ts";
import { sumProbabilities } from "./output-head.ts";

/** What is known of a vocabulary before the model is run. V = rows of the embedding. */
export interface VocabularyFacts {
  /** Per dimension, shares of the tokens from one or more sources, each [V]. */
  readonly sources: ReadonlyMap<Dimension, readonly Float64Array[]>;
  /** The two tokens that a token splits into, see `deriveTokens`. */
  readonly derivations: ReadonlyMap<number, readonly [left: number, right: number]>;
  /** Tokens that stay whatever their relevance, see `alwaysKeptTokens`. */
  readonly alwaysKept: ReadonlySet<number>;
}

/** Positions at which the model is asked what it expects, over all documents: evenly spread, since neighbours expect alike. */
const MAX_POSITIONS = 16_384;

/**
 * What the model expects at the positions of documents, per dimension: mean next-token probabilities, [V] each, in the order of `dimensions`.
 * @param states hidden states after the last block, one array [B, T, D] per batch.
 * @param dimensionsOf the dimensions of each document.
 */
export async function expectedShares(
  checkpoint: Checkpoint,
  documents: readonly TokenDocument[],
  batches: readonly Batch[],
  states: readonly Float32Array<ArrayBuffer>[],
  dimensions: readonly Dimension[],
  dimensionsOf: (document: number) => readonly Dimension[],
  options: JobOptions,
): Promise<readonly Float64Array[]> {
  const D = checkpoint.config.hiddenSize;
  const tokenCount = documents.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const stride = Math.max(1, Math.ceil(tokenCount / MAX_POSITIONS));
  const rows: Float32Array[] = [];
  const owners: number[] = [];
  for (const [number, batch] of batches.entries()) {
    for (const [row, document] of batch.documents.entries()) {
      // Documents begin at unlike offsets, so that no place in a text is preferred.
      for (let t = document % stride; t < documents[document]!.tokens.length; t += stride) {
        const start = (row * batch.length + t) * D;
        rows.push(states[number]!.subarray(start, start + D));
        owners.push(document);
      }
    }
  }
  const sampled = new Float32Array(rows.length * D);
  rows.forEach((row, index) => sampled.set(row, index * D));
  const weights = dimensions.map((dimension) => {
    const isOwn = owners.map((document) => dimensionsOf(document).includes(dimension));
    const count = isOwn.filter(Boolean).length;
    return Float32Array.from(isOwn, (own) => (own ? 1 / count : 0));
  });
  return sumProbabilities(checkpoint, sampled, weights, options);
}
