/**
 * @file Pools of units that are removed in one common order: the values that rank them, and the removed units, layer by
 * layer.
 */

import type { LayerChoice } from "./choice.ts";
import type { CutKind } from "./plan.ts";
import { rankUnits } from "./ranking.ts";
import type { RankedUnits, UnitBlock } from "./ranking.ts";
import type { SelectionContext } from "./selection-context.ts";
import { unitParameters } from "./unit-parameters.ts";

/** All units of the model, ranked against each other. */
export function globalPool(context: SelectionContext): RankedUnits {
  const blocks = context.relevance.flatMap((_, layer) => rankedBlocks(context, layer, context.kinds));
  return rankUnits([blocks], context.weights);
}

/** A layer's units of some kinds, with the values that rank them. */
export function rankedBlocks(context: SelectionContext, layer: number, kinds: readonly CutKind[]): UnitBlock[] {
  return kinds.map((kind) => ({ layer, kind, values: rankedValues(context, layer, kind) }));
}

/** The paper's rows and columns are ranked by relevance, structural units by damage per freed parameter. */
function rankedValues(context: SelectionContext, layer: number, kind: CutKind): readonly Float64Array[] {
  if (context.granularity === "matrix") return context.relevance[layer]?.get(kind) ?? [];
  const parameters = unitParameters(kind, context.costs[layer]!);
  return (context.damage[layer]?.get(kind) ?? []).map((perUnit) => perUnit.map((damage) => damage / parameters));
}

/**
 * Records the removed units of a pool, and those that are irrelevant in each dimension at the threshold of the last
 * removed one.
 */
export function recordChoice(pool: RankedUnits, removed: readonly number[], choices: readonly LayerChoice[]): void {
  const threshold = removed.reduce((largest, unit) => Math.max(largest, pool.keys[unit]!), 0);
  const removedOf = pool.blocks.map((): number[] => []);
  for (const unit of removed) removedOf[pool.block[unit]!]!.push(pool.index[unit]!);
  let offset = 0;
  pool.blocks.forEach(({ layer, kind, values }, i) => {
    const size = values[0]?.length ?? 0;
    const irrelevant = pool.rankShares.map((shares) =>
      Uint8Array.from(shares.subarray(offset, offset + size), (share) => (share <= threshold ? 1 : 0)),
    );
    choices[layer]!.set(kind, { removed: removedOf[i]!, irrelevant });
    offset += size;
  });
}
