/**
 * @file In which order the tokens of a vocabulary go: the least relevant first, a token never before those that are merged from it.
 *
 * A token that goes is split into the two tokens of its last merge, so that what was its is theirs from then on: their relevances grow by its. What a step
 * costs is therefore the relevance of the token that goes, whatever went before.
 */

import TinyQueue from "tinyqueue";
import type { Dimension } from "../corpora/corpus.ts";
import type { VocabularyRelevance } from "../scoring/relevance.ts";

/** Tokens in the order in which they go. */
export interface TokenOrder {
  /** Ids; those that stay whatever happens are not among them. */
  readonly tokens: Int32Array;
  /**
   * Per chosen dimension, as long as `tokens`: the share of the dimension's tokens that are split once this one and all before it are gone, each
   * split counted (a token that falls into three pieces counts twice).
   */
  readonly splits: readonly Float64Array[];
}

/**
 * Orders all tokens that may go: by the largest weighted relevance over the dimensions, so that what is relevant in any dimension goes late.
 * @param weights by chosen dimension, see `SelectionOptions.weights`.
 */
export function orderTokens(
  { relevances, derivations, alwaysKept }: VocabularyRelevance,
  weights: ReadonlyMap<Dimension, number>,
): TokenOrder {
  const chosen = [...weights].map(([dimension, weight]) => ({
    weight,
    values: Float64Array.from(relevances.get(dimension) ?? []),
  }));
  const mass = chosen.map(({ values }) => values);
  const size = mass[0]?.length ?? 0;
  const keyOf = (id: number): number => chosen.reduce((most, { weight, values }) => Math.max(most, weight * values[id]!), 0);
  const stays = new Uint8Array(size);
  const keep = (id: number): void => {
    if (stays[id] === 1) return;
    stays[id] = 1;
    for (const part of derivations.get(id) ?? []) keep(part);
  };
  for (const id of alwaysKept) keep(id);

  const dependents = new Int32Array(size);
  for (const pair of derivations.values()) for (const part of pair) dependents[part]! += 1;
  const queue = new TinyQueue<{ readonly id: number; readonly key: number }>([], (a, b) => a.key - b.key || b.id - a.id);
  for (let id = 0; id < size; id++) if (stays[id] === 0 && dependents[id] === 0) queue.push({ id, key: keyOf(id) });

  const tokens: number[] = [];
  const splits: number[][] = mass.map(() => []);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { id } = next;
    tokens.push(id);
    const pair = derivations.get(id);
    mass.forEach((values, dimension) => splits[dimension]!.push((splits[dimension]!.at(-1) ?? 0) + values[id]!));
    for (const part of pair ?? []) {
      for (const values of mass) values[part]! += values[id]!;
      dependents[part]! -= 1;
      if (dependents[part] === 0 && stays[part] === 0) queue.push({ id: part, key: keyOf(part) });
    }
  }
  return { tokens: Int32Array.from(tokens), splits: splits.map((values) => Float64Array.from(values)) };
}
