/**
 * @file The rule of Cus-Prun (arXiv 2506.02561): a unit is removed iff it is irrelevant in every chosen dimension.
 *
 * A unit is irrelevant in a dimension at q iff its relevance is at or under the q-quantile of that dimension's
 * relevances, that is, iff its rank share (units with a relevance at or under its own / units) is at most q; a weight w
 * lowers the dimension's quantile to q / w. So a unit is in the intersection at q iff its key = max over dimensions of
 * w · rankShare ≤ q. Bisecting for the q that meets a budget is therefore the same as removing the units in the order
 * of their keys until the budget is met.
 * Source: docs/architecture.md, "Thresholds and selection".
 */

import type { CutKind } from "./plan.ts";

/** The units of one kind of one layer. */
export interface UnitBlock {
  readonly layer: number;
  readonly kind: CutKind;
  /** Per dimension, [U]: the values that rank them. */
  readonly values: readonly Float64Array[];
}

/** Units that are pruned in one order. All arrays except `order` are indexed by unit, [U]. */
export interface RankedUnits {
  readonly blocks: readonly UnitBlock[];
  /** Index into `blocks` of each unit, and the unit's index in its layer. */
  readonly block: Uint32Array;
  readonly index: Uint32Array;
  /** Weighted rank share per dimension. */
  readonly rankShares: readonly Float64Array[];
  /** Largest weighted rank share: the smallest q at which the unit is irrelevant in every dimension. */
  readonly keys: Float64Array;
  /** Units by key; ties by lower mean rank, then by lower position. */
  readonly order: Uint32Array;
}

/**
 * Ranks units and orders them for pruning.
 * @param groups blocks that are ranked against each other, group by group; the order spans all groups.
 * @param weights one per dimension, positive.
 */
export function rankUnits(groups: readonly (readonly UnitBlock[])[], weights: readonly number[]): RankedUnits {
  const blocks = groups.flat();
  const count = blocks.reduce((sum, block) => sum + (block.values[0]?.length ?? 0), 0);
  const block = new Uint32Array(count);
  const index = new Uint32Array(count);
  let position = 0;
  blocks.forEach((entry, i) => {
    const size = entry.values[0]?.length ?? 0;
    for (let unit = 0; unit < size; unit++, position++) {
      block[position] = i;
      index[position] = unit;
    }
  });
  const rankShares = weights.map((weight, dimension) => {
    const shares = new Float64Array(count);
    let offset = 0;
    for (const group of groups) {
      const own = rankSharesOf(concatenate(group.map((entry) => entry.values[dimension]!)));
      for (let i = 0; i < own.length; i++) shares[offset + i] = weight * own[i]!;
      offset += own.length;
    }
    return shares;
  });
  const keys = new Float64Array(count);
  const sums = new Float64Array(count);
  for (const shares of rankShares) {
    for (let unit = 0; unit < count; unit++) {
      keys[unit] = Math.max(keys[unit]!, shares[unit]!);
      sums[unit]! += shares[unit]!;
    }
  }
  const order = Uint32Array.from({ length: count }, (_, unit) => unit);
  order.sort((a, b) => keys[a]! - keys[b]! || sums[a]! - sums[b]! || a - b);
  return { blocks, block, index, rankShares, keys, order };
}

/** The share of all values that are at or under each value: in (0, 1], the same for equal values. */
export function rankSharesOf(values: Float64Array): Float64Array {
  const order = Uint32Array.from(values, (_, i) => i).toSorted((a, b) => values[a]! - values[b]!);
  const shares = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) shares[order[i]!] = end / order.length;
    start = end;
  }
  return shares;
}

function concatenate(parts: readonly Float64Array[]): Float64Array {
  const joined = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
