/**
 * @file In which order the tokens of a vocabulary go: the least relevant first, a token never before those that are merged from it.
 *
 * A token that goes is split into the two tokens of its last merge, so that what was its is theirs from then on: their relevances grow by its. What a step
 * costs is therefore the relevance of the token that goes, whatever went before.
 */

import TinyQueue from "tinyqueue";
import type { Dimension } from "../corpora/corpus.ts";
import { meanOf } from "../corpora/token-counts.ts";
import type { VocabularyRelevance } from "../scoring/relevance.ts";

/** Tokens in the order in which they go. */
export interface TokenOrder {
  /** Ids; those that stay whatever happens are not among them. */
  readonly tokens: Int32Array;
  /**
   * For each of the watched shares, as long as `tokens`: the part of them that is split once this token and all before it are gone, each split
   * counted (a token that falls into three pieces counts twice).
   */
  readonly splits: readonly Float64Array[];
}

/** What orders tokens, and what is watched meanwhile: arrays [V]. */
interface Ordering {
  /** A token goes by the largest of its weighted values. */
  readonly keys: readonly { readonly values: Float64Array; readonly weight: number }[];
  readonly watched: readonly Float64Array[];
}

/** Orders all tokens that may go. */
export function orderTokens(
  { derivations, alwaysKept }: Pick<VocabularyRelevance, "derivations" | "alwaysKept">,
  { keys, watched }: Ordering,
): TokenOrder {
  const size = keys[0]?.values.length ?? 0;
  const own = keys.map(({ values }) => Float64Array.from(values));
  const seen = watched.map((values) => Float64Array.from(values));
  const keyOf = (id: number): number => keys.reduce((most, { weight }, index) => Math.max(most, weight * own[index]![id]!), 0);
  const stays = new Uint8Array(size);
  const keep = (id: number): void => {
    if (stays[id] === 1) return;
    stays[id] = 1;
    for (const part of derivations.get(id) ?? []) keep(part);
  };
  for (const id of alwaysKept) keep(id);

  const dependents = new Int32Array(size);
  for (const pair of derivations.values()) for (const part of pair) dependents[part]! += 1;
  // Of tokens alike the younger goes first: ids follow the order in which merges were learnt, commonest first.
  const queue = new TinyQueue<{ readonly id: number; readonly key: number }>([], (a, b) => a.key - b.key || b.id - a.id);
  for (let id = 0; id < size; id++) if (stays[id] === 0 && dependents[id] === 0) queue.push({ id, key: keyOf(id) });

  const tokens: number[] = [];
  const splits: number[][] = watched.map(() => []);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { id } = next;
    tokens.push(id);
    seen.forEach((values, index) => splits[index]!.push((splits[index]!.at(-1) ?? 0) + values[id]!));
    for (const part of derivations.get(id) ?? []) {
      for (const values of [...own, ...seen]) values[part]! += values[id]!;
      dependents[part]! -= 1;
      if (dependents[part] === 0 && stays[part] === 0) queue.push({ id: part, key: keyOf(part) });
    }
  }
  return { tokens: Int32Array.from(tokens), splits: splits.map((values) => Float64Array.from(values)) };
}

/**
 * Orders tokens by their relevance to the chosen dimensions: the largest weighted one, so that what is relevant in any dimension goes late.
 *
 * The splits are those of each chosen dimension in the order of `weights`, on texts that had no say: the order that one half of the documents gives is
 * judged by what is counted in the other half, and the two judgements are averaged. They are a little too high, since all documents together choose better.
 */
export function orderByRelevance(vocabulary: VocabularyRelevance, weights: ReadonlyMap<Dimension, number>): TokenOrder {
  const chosen = [...weights].map(([dimension, weight]) => ({ ...vocabulary.relevances.get(dimension)!, weight }));
  const judged = ([0, 1] as const).map((half) =>
    orderTokens(vocabulary, {
      keys: chosen.map(({ halves, weight }) => ({ values: halves[half], weight })),
      watched: chosen.map(({ counted }) => counted[half === 0 ? 1 : 0]),
    }),
  );
  const { tokens } = orderTokens(vocabulary, {
    keys: chosen.map(({ halves, weight }) => ({ values: meanOf(halves), weight })),
    watched: [],
  });
  return { tokens, splits: chosen.map((_, index) => meanOf(judged.map(({ splits }) => splits[index]!))) };
}
