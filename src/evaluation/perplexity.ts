/**
 * @file Perplexity and bits per byte of documents, by the layer program, so that models larger than memory can be
 * measured. Every token after a document's first is predicted from those before it in the same document.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Corpus, Dimension, TokenDocument } from "../corpora/corpus.ts";
import type { LayeredJobOptions } from "../model/layer-journal.ts";
import { sumLogLikelihoods } from "./likelihoods.ts";

/** How well a model predicts a set of documents. */
export interface Perplexity {
  /** Sum over the predicted tokens, in nats. */
  readonly negativeLogLikelihood: number;
  /** Predicted tokens: all except the first of each document. */
  readonly tokenCount: number;
  /** UTF-8 bytes of the documents' texts. */
  readonly byteCount: number;
  /** exp(nats per token). Compare only between models that share a tokenizer. */
  readonly perplexity: number;
  /** Comparable between tokenizers and, with care, languages. */
  readonly bitsPerByte: number;
}

/** Adds up the negative log-likelihoods (nats) of documents. */
export function summarizePerplexity(documents: readonly TokenDocument[], negativeLogLikelihoods: readonly number[]): Perplexity {
  const negativeLogLikelihood = negativeLogLikelihoods.reduce((sum, value) => sum + value, 0);
  const tokenCount = documents.reduce((sum, document) => sum + document.tokens.length - 1, 0);
  const byteCount = documents.reduce((sum, document) => sum + document.byteLength, 0);
  return {
    negativeLogLikelihood,
    tokenCount,
    byteCount,
    perplexity: Math.exp(negativeLogLikelihood / tokenCount),
    bitsPerByte: negativeLogLikelihood / Math.LN2 / byteCount,
  };
}

/** Perplexity of a model on the held-out documents of each corpus, in one pass. */
export async function measureHeldOut(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  options: LayeredJobOptions,
): Promise<Readonly<Partial<Record<Dimension, Perplexity>>>> {
  const documents = corpora.flatMap((corpus) => corpus.heldOut);
  const likelihoods = await documentLikelihoods(checkpoint, documents, options);
  const results: Partial<Record<Dimension, Perplexity>> = {};
  let first = 0;
  for (const { dimension, heldOut } of corpora) {
    results[dimension] = summarizePerplexity(heldOut, likelihoods.slice(first, first + heldOut.length));
    first += heldOut.length;
  }
  return results;
}

/**
 * Negative log-likelihood of each document, in nats, summed over all its tokens except the first.
 * @throws CusprunError the errors of `Checkpoint.readFloat32`.
 */
export async function documentLikelihoods(
  checkpoint: Checkpoint,
  documents: readonly TokenDocument[],
  options: LayeredJobOptions,
): Promise<readonly number[]> {
  const requests = documents.map(({ tokens }) => ({ input: tokens.subarray(0, -1), targets: tokens.subarray(1) }));
  const logLikelihoods = await sumLogLikelihoods(checkpoint, requests, "measuring perplexity", options);
  return Array.from(logLikelihoods, (value) => -value);
}
