/**
 * @file The order in which the tokens of a vocabulary are removed: the least relevant first, a token never before those
 * merged from it.
 *
 * Texts write a removed token as the two tokens of its last merge, so its relevance is added to theirs. The cost of
 * each removal is therefore the removed token's relevance at that point, whichever tokens were removed before.
 * Source: docs/architecture.md, "The vocabulary as units".
 */

import TinyQueue from "tinyqueue";
import type { Dimension } from "../corpora/corpus.ts";
import { meanOf } from "../corpora/token-counts.ts";
import type { VocabularyRelevance } from "../scoring/relevance.ts";

/** Tokens in the order of their removal. */
export interface TokenOrder {
  /** Ids, without those of the tokens that are always kept. */
  readonly tokens: Int32Array;
  /**
   * For each of the watched shares, as long as `tokens`: the part of it that is split once this token and all before it
   * are removed, each split counted (a token that falls into three pieces counts twice).
   */
  readonly splits: readonly Float64Array[];
}

/** The values that order tokens, and those that are watched meanwhile: arrays [V]. */
interface Ordering {
  /** The key of a token is the largest of its weighted values. */
  readonly keys: readonly { readonly values: Float64Array; readonly weight: number }[];
  readonly watched: readonly Float64Array[];
}

/** Orders all tokens that may be removed. */
export function orderTokens(
  { derivations, alwaysKept }: Pick<VocabularyRelevance, "derivations" | "alwaysKept">,
  { keys, watched }: Ordering,
): TokenOrder {
  const size = keys[0]?.values.length ?? 0;
  const own = keys.map(({ values }) => Float64Array.from(values));
  const seen = watched.map((values) => Float64Array.from(values));
  const keyOf = (id: number): number => keys.reduce((most, { weight }, index) => Math.max(most, weight * own[index]![id]!), 0);
  const isKept = new Uint8Array(size);
  const kept = [...alwaysKept];
  for (let id = kept.pop(); id !== undefined; id = kept.pop()) {
    if (isKept[id] === 1) continue;
    isKept[id] = 1;
    kept.push(...(derivations.get(id) ?? []));
  }

  const dependents = new Int32Array(size);
  for (const pair of derivations.values()) for (const part of pair) dependents[part]! += 1;
  // Of equally relevant tokens the one with the larger id is removed first: merges were learnt in the order of ids,
  // most frequent first.
  const queue = new TinyQueue<{ readonly id: number; readonly key: number }>([], (a, b) => a.key - b.key || b.id - a.id);
  for (let id = 0; id < size; id++) if (isKept[id] === 0 && dependents[id] === 0) queue.push({ id, key: keyOf(id) });

  const tokens: number[] = [];
  const splits: number[][] = watched.map(() => []);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { id } = next;
    tokens.push(id);
    seen.forEach((values, index) => splits[index]!.push((splits[index]!.at(-1) ?? 0) + values[id]!));
    for (const part of derivations.get(id) ?? []) {
      for (const values of [...own, ...seen]) values[part]! += values[id]!;
      dependents[part]! -= 1;
      if (dependents[part] === 0 && isKept[part] === 0) queue.push({ id: part, key: keyOf(part) });
    }
  }
  return { tokens: Int32Array.from(tokens), splits: splits.map((values) => Float64Array.from(values)) };
}

/**
 * Orders tokens by their relevance to the chosen dimensions: the largest weighted one, so that a token that is relevant
 * in any dimension is removed late.
 *
 * The splits are those of each chosen dimension in the order of `weights`, estimated on held-out texts: an order is
 * made from each half of the documents, its splits are counted in the other half, and the two estimates are averaged.
 * They are slightly too high, since the order from all documents is better than either.
 */
export function orderByRelevance(vocabulary: VocabularyRelevance, weights: ReadonlyMap<Dimension, number>): TokenOrder {
  const chosen = [...weights].map(([dimension, weight]) => ({ ...vocabulary.relevances.get(dimension)!, weight }));
  const estimates = ([0, 1] as const).map((half) =>
    orderTokens(vocabulary, {
      keys: chosen.map(({ halves, weight }) => ({ values: halves[half], weight })),
      watched: chosen.map(({ counted }) => counted[half === 0 ? 1 : 0]),
    }),
  );
  const { tokens } = orderTokens(vocabulary, {
    keys: chosen.map(({ halves, weight }) => ({ values: meanOf(halves), weight })),
    watched: [],
  });
  return { tokens, splits: chosen.map((_, index) => meanOf(estimates.map(({ splits }) => splits[index]!))) };
}
