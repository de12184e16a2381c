/**
 * @file Which rows of the embedding are removed. Removing tokens that are hardly ever written in any chosen dimension
 * costs almost nothing, so they are removed first: up to a share of split tokens that barely affects quality, or until
 * the budget is met. Units of the blocks free the rest.
 * Source: docs/architecture.md, "The vocabulary as units".
 */

import type { Dimension } from "../corpora/corpus.ts";
import { meanOf } from "../corpora/token-counts.ts";
import { CusprunError } from "../errors.ts";
import type { VocabularyRelevance } from "../scoring/relevance.ts";
import type { VocabularyCut } from "./plan.ts";
import { orderByRelevance, type TokenOrder } from "./token-order.ts";

/**
 * How much of the vocabulary is kept: all of it, a number of tokens, or enough that a share of tokens is not split, in
 * the mean over the dimensions.
 */
export type VocabularyChoice = "keep" | { readonly size: number } | { readonly coverage: number };

/** Share of tokens that is not split by default, in the mean over the dimensions; measured in docs/vocabulary.md. */
export const DEFAULT_COVERAGE = 0.996;

/** Vocabulary sizes are multiples of this unless a size is given: matrix kernels are faster on such sizes. */
const SIZE_MULTIPLE = 64;

/**
 * Chooses the removed tokens.
 * @param relevance null if tokens were not scored.
 * @param choice default: `DEFAULT_COVERAGE`, but no more than the budget requests.
 * @param rowParameters parameters of a token's rows: D, or 2·D if the output head has its own.
 * @param requested parameters that the budget requests to free.
 * @returns null if every token is kept.
 * @throws CusprunError `SCORES_LACK` for a choice without scores, `SELECTION_INVALID` for one that cannot be met.
 */
export function selectVocabulary(
  relevance: VocabularyRelevance | null,
  choice: VocabularyChoice | undefined,
  weights: ReadonlyMap<Dimension, number>,
  rowParameters: number,
  requested: number,
): VocabularyCut | null {
  if (choice === "keep" || (choice === undefined && relevance === null)) return null;
  if (relevance === null) {
    throw new CusprunError("SCORES_LACK", {
      where: "scores",
      found: "no relevances of tokens",
      expected: "relevances of tokens, by which a smaller vocabulary is chosen",
      remedy: "Score again without --keep-vocabulary, or keep the vocabulary",
    });
  }
  const size = [...relevance.relevances.values()][0]?.halves[0].length ?? 0;
  const order = orderByRelevance(relevance, weights);
  const count = countToRemove(order, size, choice, Math.floor(requested / rowParameters));
  if (count === 0) return null;
  return {
    size,
    removed: [...order.tokens.subarray(0, count)].toSorted((a, b) => a - b),
    splits: Object.fromEntries(
      [...weights.keys()].map((dimension, index) => [dimension, Number(order.splits[index]![count - 1]!.toPrecision(4))]),
    ),
  };
}

function countToRemove(
  order: TokenOrder,
  size: number,
  choice: Exclude<VocabularyChoice, "keep"> | undefined,
  most: number,
): number {
  const least = size - order.tokens.length;
  if (choice !== undefined && "size" in choice) {
    if (Number.isInteger(choice.size) && choice.size >= least) return Math.max(0, size - choice.size);
    throw new CusprunError("SELECTION_INVALID", {
      where: "vocabulary",
      found: String(choice.size),
      expected: `at least ${least} tokens: bytes, special tokens, single characters and the words of the chat template are kept`,
      remedy: "Request more tokens",
    });
  }
  const coverage = choice?.coverage ?? DEFAULT_COVERAGE;
  if (!(coverage > 0 && coverage <= 1)) {
    throw new CusprunError("SELECTION_INVALID", {
      where: "vocabulary-coverage",
      found: String(coverage),
      expected: "a share above 0%, at most 100%",
      remedy: "Choose the share of tokens that must not be split, e.g. 99.9%",
    });
  }
  const splits = meanOf(order.splits);
  let count = 0;
  while (count < splits.length && splits[count]! <= 1 - coverage) count++;
  if (choice === undefined) count = Math.min(count, most);
  return Math.max(0, size - Math.ceil((size - count) / SIZE_MULTIPLE) * SIZE_MULTIPLE);
}
