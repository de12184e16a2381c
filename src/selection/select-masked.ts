/**
 * @file Selection where every layer may lose other units: layout `masked`, and the paper's rows and columns.
 *
 * Units are ranked against each other layer by layer (allocation `layer`), over the model (`global`), or per matrix over the model
 * (`matrix`), and go in the order of their keys (see ranking.ts) until the budget is met as closely as one unit allows.
 */

import type { LayerChoice } from "./choice.ts";
import { unreachable } from "./choice.ts";
import type { CutKind } from "./plan.ts";
import { rankUnits } from "./ranking.ts";
import type { RankedUnits, UnitBlock } from "./ranking.ts";
import type { SelectionContext } from "./selection-context.ts";
import { LayerLedger, unitParameters } from "./unit-parameters.ts";

/**
 * Chooses the units that are zeroed.
 * @throws CusprunError `BUDGET_UNREACHABLE`.
 */
export function selectMasked(context: SelectionContext): LayerChoice[] {
  const { requested } = context.parameters;
  const layerCount = context.relevance.length;
  const ledgers = newLedgers(context);
  const choices: LayerChoice[] = context.relevance.map(() => new Map());
  let freed = 0;
  let shortBy = 0;
  const pools = rankedPools(context);
  pools.forEach((pool, step) => {
    // A layer's part is what is due after it, less what went before, so that rounding to whole units does not add up.
    const target = (requested * (step + 1)) / pools.length - freed;
    const result = removeInOrder(pool, target, ledgers, context.floor);
    freed += result.freed;
    shortBy += result.shortBy;
    recordChoice(pool, result.removed, choices);
  });
  const smallestUnit = Math.min(...context.costs.flatMap((costs) => context.kinds.map((kind) => unitParameters(kind, costs))));
  if (shortBy > 0 && requested - freed > smallestUnit / 2) {
    throw unreachable(
      context,
      mostRemovable(context, pools),
      `with each of the ${layerCount} layers keeping ${context.floor} of its units (floor)`,
    );
  }
  return choices;
}

function newLedgers(context: SelectionContext): LayerLedger[] {
  return context.costs.map((costs) => new LayerLedger(costs));
}

/** The orders in which units go: one per layer, or one over the model. */
function rankedPools(context: SelectionContext): RankedUnits[] {
  const blocksOf = (layer: number, kinds: readonly CutKind[]): UnitBlock[] =>
    kinds.map((kind) => ({ layer, kind, values: rankedValues(context, layer, kind) }));
  const layers = context.relevance.map((_, layer) => layer);
  if (context.granularity === "matrix") {
    // Per matrix: a change of attention maps and a change of outputs have no common unit, and a threshold over both would take all of
    // one before any of the other. The quantile q is common, so that every matrix gives way alike.
    const groups = context.kinds.map((kind) => layers.flatMap((layer) => blocksOf(layer, [kind])));
    return [rankUnits(groups, context.weights)];
  }
  const perLayer = layers.map((layer) => blocksOf(layer, context.kinds));
  return context.allocation === "global"
    ? [rankUnits([perLayer.flat()], context.weights)]
    : perLayer.map((blocks) => rankUnits([blocks], context.weights));
}

/** The paper's neurons are ranked by relevance, structural units by energy (relevance²) per parameter that they free. */
function rankedValues(context: SelectionContext, layer: number, kind: CutKind): readonly Float64Array[] {
  const values = context.relevance[layer]?.get(kind) ?? [];
  if (context.granularity === "matrix") return values;
  const parameters = unitParameters(kind, context.costs[layer]!);
  return values.map((perUnit) => perUnit.map((relevance) => (relevance * relevance) / parameters));
}

interface Removal {
  /** Positions in the pool. */
  readonly removed: number[];
  readonly freed: number;
  /** Parameters by which the pool ran out before the target; 0 where it did not. */
  readonly shortBy: number;
}

/** Removes units in order until the next one would miss the target by more than stopping does. */
function removeInOrder(pool: RankedUnits, target: number, ledgers: readonly LayerLedger[], floor: number): Removal {
  const removed: number[] = [];
  let freed = 0;
  for (const unit of pool.order) {
    const { layer, kind } = pool.blocks[pool.block[unit]!]!;
    const ledger = ledgers[layer]!;
    const index = pool.index[unit]!;
    const gain = ledger.gainOf(kind, index);
    if (freed + gain - target >= target - freed) return { removed, freed, shortBy: 0 };
    if (gain === 0 || !ledger.mayRemove(kind, index, floor)) continue;
    ledger.remove(kind, index);
    removed.push(unit);
    freed += gain;
  }
  return { removed, freed, shortBy: Math.max(0, target - freed) };
}

function recordChoice(pool: RankedUnits, removed: readonly number[], choices: readonly LayerChoice[]): void {
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

function mostRemovable(context: SelectionContext, pools: readonly RankedUnits[]): number {
  const ledgers = newLedgers(context);
  return pools.reduce((sum, pool) => sum + removeInOrder(pool, Infinity, ledgers, context.floor).freed, 0);
}
