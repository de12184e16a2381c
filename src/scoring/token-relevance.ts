/**
 * @file Tokens as units: how relevant each row of the embedding is to each dimension, from the model's own predictions
 * and from counts. Design: docs/architecture.md, "The vocabulary as units".
 *
 *     relevance of token t to a dimension = mean over sources of t's share of the dimension's tokens
 *     sources: mean over positions of P(t | preceding tokens), by the model · counts in the corpus · counts in a list
 *              of the language's words
 *
 * The model predicts words that do not occur in a small corpus; the counts include tokens that it does not predict. If
 * every split costs the same, a token's relevance is the damage of its removal.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Dimension, TokenDocument } from "../corpora/corpus.ts";
import { type DimensionCounts, halfOf, meanOf } from "../corpora/token-counts.ts";
import type { Batch } from "../model/batches.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import { type LayeredJobOptions, NO_JOURNAL } from "../model/layer-journal.ts";
import { MAX_POSITIONS } from "../model/memory-plan.ts";
import { sumProbabilities } from "../model/output-head.ts";
import type { TokenRelevance, VocabularyRelevance } from "./relevance.ts";

/** Facts about a vocabulary that are known before the model is run. V = rows of the embedding. */
export interface VocabularyFacts {
  /** How often each token occurs in the texts of each dimension. */
  readonly counts: ReadonlyMap<Dimension, DimensionCounts>;
  /** The two tokens that a token splits into, see `deriveTokens`. */
  readonly derivations: ReadonlyMap<number, readonly [left: number, right: number]>;
  /** Tokens that are kept whatever their relevance, see `alwaysKeptTokens`. */
  readonly alwaysKept: ReadonlySet<number>;
}

/**
 * Relevances of all tokens to the dimensions, from each half of a dimension's documents.
 * @param states hidden states after the last block.
 * @param dimensionsOf the dimensions of each document.
 * @param options the dimensions are the steps of the journal after the layers.
 */
export async function scoreTokens(
  checkpoint: Checkpoint,
  facts: VocabularyFacts,
  documents: readonly TokenDocument[],
  batches: readonly Batch[],
  states: HiddenStates,
  dimensionsOf: (document: number) => readonly Dimension[],
  { journal = NO_JOURNAL, ...options }: LayeredJobOptions,
): Promise<VocabularyRelevance> {
  const { hiddenSize: D, numHiddenLayers: L } = checkpoint.config;
  const relevances = new Map<Dimension, TokenRelevance>();
  for (const [index, [dimension, { halves: counted, words }]] of [...facts.counts].entries()) {
    const isOwn = (document: number): boolean => dimensionsOf(document).includes(dimension);
    const expect = async (): Promise<Record<"first" | "second", Float64Array<ArrayBuffer>>> => {
      const { rows, owners } = await samplePositions(D, documents, batches, states, isOwn);
      const weights = halfWeights(owners.map((owner) => halfOf(documents[owner]!.tokens)));
      const [first, second] = await sumProbabilities(checkpoint, rows, weights, options);
      return { first: first!, second: second! };
    };
    const { first, second } = await journal.step(L + index, expect, null);
    const expected = [first, second];
    const ofHalf = (half: 0 | 1): Float64Array => meanOf([expected[half]!, counted[half], ...(words === null ? [] : [words])]);
    relevances.set(dimension, { halves: [ofHalf(0), ofHalf(1)], counted });
  }
  return { relevances, derivations: facts.derivations, alwaysKept: facts.alwaysKept };
}

/**
 * Weights of positions [M] in the mean over each half. If all are in one half, it is used for both, as in the counts:
 * a half without positions would expect no token at all.
 */
function halfWeights(halves: readonly (0 | 1)[]): readonly Float32Array<ArrayBuffer>[] {
  const counts = [0, 0];
  for (const half of halves) counts[half]! += 1;
  return ([0, 1] as const).map((half) => {
    const filled = counts[half]! > 0 ? half : 1 - half;
    return Float32Array.from(halves, (own) => (own === filled ? 1 / counts[filled]! : 0));
  });
}

/**
 * Rows [M, D] of the hidden states at positions spread evenly over a dimension's documents, and the document of each.
 */
async function samplePositions(
  D: number,
  documents: readonly TokenDocument[],
  batches: readonly Batch[],
  states: HiddenStates,
  isOwn: (document: number) => boolean,
): Promise<{ readonly rows: Float32Array<ArrayBuffer>; readonly owners: readonly number[] }> {
  const tokenCount = documents.reduce((sum, { tokens }, document) => sum + (isOwn(document) ? tokens.length : 0), 0);
  const stride = Math.max(1, Math.ceil(tokenCount / MAX_POSITIONS));
  // Documents begin at different offsets, so that no place in a text is preferred.
  const offsetOf = (document: number): number => document % stride;
  const count = documents.reduce(
    (sum, { tokens }, document) =>
      sum + (isOwn(document) ? Math.max(0, Math.ceil((tokens.length - offsetOf(document)) / stride)) : 0),
    0,
  );
  const rows = new Float32Array(count * D);
  const owners: number[] = [];
  for (const [number, batch] of batches.entries()) {
    if (!batch.documents.some(isOwn)) continue;
    const own = await states.get(number);
    for (const [row, document] of batch.documents.entries()) {
      if (!isOwn(document)) continue;
      for (let t = offsetOf(document); t < documents[document]!.tokens.length; t += stride) {
        const start = (row * batch.length + t) * D;
        rows.set(own.subarray(start, start + D), owners.length * D);
        owners.push(document);
      }
    }
  }
  return { rows, owners };
}
