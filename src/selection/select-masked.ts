/**
 * @file Selection in layout `masked`, where every layer may lose different units; also of the paper's rows and columns.
 *
 * Units are ranked against each other layer by layer (allocation `layer`), over the model (`global`), or per matrix
 * over the model (`matrix`), and are removed in the order of their keys (see ranking.ts) until the budget is met as
 * closely as one unit allows.
 * Source: docs/architecture.md, "Thresholds and selection".
 */

import type { LayerChoice } from "./choice.ts";
import { unreachable } from "./choice.ts";
import { globalPool, rankedBlocks, recordChoice } from "./pools.ts";
import { rankUnits } from "./ranking.ts";
import type { RankedUnits } from "./ranking.ts";
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
    // A layer's target is the total due after it minus the parameters removed before it, so that rounding errors do not
    // add up.
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

/** The orders in which units are removed: one per layer, or one over the model. */
function rankedPools(context: SelectionContext): RankedUnits[] {
  const layers = context.relevance.map((_, layer) => layer);
  if (context.granularity === "matrix") {
    // Ranked per matrix: changes of attention maps and changes of outputs have no common unit, so one threshold over
    // both would remove all rows of one before any of the other. The quantile q is common, so every matrix loses the
    // same share.
    const groups = context.kinds.map((kind) => layers.flatMap((layer) => rankedBlocks(context, layer, [kind])));
    return [rankUnits(groups, context.weights)];
  }
  return context.allocation !== "layer"
    ? [globalPool(context)]
    : layers.map((layer) => rankUnits([rankedBlocks(context, layer, context.kinds)], context.weights));
}

interface Removal {
  /** Positions in the pool. */
  readonly removed: number[];
  readonly freed: number;
  /** Parameters by which the pool ran out before the target; 0 if it did not. */
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

function mostRemovable(context: SelectionContext, pools: readonly RankedUnits[]): number {
  const ledgers = newLedgers(context);
  return pools.reduce((sum, pool) => sum + removeInOrder(pool, Infinity, ledgers, context.floor).freed, 0);
}
