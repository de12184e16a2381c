/**
 * @file Selection in layout `ragged`, where every layer gets its own sizes.
 *
 * All units of the model are ranked against each other (see ranking.ts), but a layer must keep a shape that runtimes
 * compute. So it loses units in steps, each from the front of the layer's own order: FFN units down to the next
 * multiple of the snap; one KV group with its heads; one query head of every kept group. A step's key is the largest of
 * its units' keys, so that all removed units are irrelevant in every dimension at the threshold. Steps of all layers
 * are taken in the order of their keys until the budget is met. A step that would overshoot the budget by more than the
 * current shortfall is skipped, together with the later ones of its layer and kind.
 * Source: docs/architecture.md, "Thresholds and selection" and "Layouts".
 */

import type { LayerChoice } from "./choice.ts";
import { unreachable } from "./choice.ts";
import type { CutKind } from "./plan.ts";
import { globalPool, recordChoice } from "./pools.ts";
import type { RankedUnits } from "./ranking.ts";
import type { SelectionContext } from "./selection-context.ts";
import { snappedWidths } from "./snapping.ts";
import { cutUnitCount, LayerLedger, unitParameters } from "./unit-parameters.ts";
import type { BlockCosts } from "./unit-parameters.ts";

/**
 * Chooses the units that are cut out.
 * @throws CusprunError `BUDGET_UNREACHABLE`.
 */
export function selectRagged(context: SelectionContext): LayerChoice[] {
  const { requested } = context.parameters;
  const pool = globalPool(context);
  const { removed, missed } = takeSteps(pool, newLayers(context, pool), requested);
  if (missed > smallestStep(context) / 2) {
    const most = takeSteps(pool, newLayers(context, pool), Infinity).freed;
    const kept = `each of the ${context.relevance.length} layers keeping ${context.floor} of its units (floor)`;
    throw unreachable(context, most, `with ${kept} in sizes that runtimes compute`);
  }
  const choices: LayerChoice[] = context.relevance.map(() => new Map());
  recordChoice(pool, removed, choices);
  return choices;
}

function newLayers(context: SelectionContext, pool: RankedUnits): RaggedLayer[] {
  const orders = context.costs.map(() => new Map<CutKind, number[]>(context.kinds.map((kind) => [kind, []])));
  for (const unit of pool.order) {
    const { layer, kind } = pool.blocks[pool.block[unit]!]!;
    orders[layer]!.get(kind)!.push(unit);
  }
  return orders.map((order, layer) => new RaggedLayer(context, layer, pool, order));
}

/** Parameters of the smallest step from a layer's dense sizes. */
function smallestStep({ costs, kinds, snap }: SelectionContext): number {
  return Math.min(...costs.flatMap((layer) => kinds.map((kind) => unitParameters(kind, layer) * (kind === "ffn" ? snap : 1))));
}

interface Taken {
  /** Positions in the pool. */
  readonly removed: readonly number[];
  readonly freed: number;
  /** Parameters missing when no step was left; 0 if a step was refused only because it would overshoot the target. */
  readonly missed: number;
}

function takeSteps(pool: RankedUnits, layers: readonly RaggedLayer[], target: number): Taken {
  const removed: number[] = [];
  let freed = 0;
  let overshoots = false;
  for (;;) {
    const steps = layers.map((layer) => layer.next()).filter((step) => step !== null);
    if (steps.length === 0) return { removed, freed, missed: overshoots ? 0 : Math.max(0, target - freed) };
    const step = steps.reduce((best, candidate) => (candidate.key < best.key ? candidate : best));
    if (freed + step.gain - target >= target - freed) {
      overshoots = true;
      step.layer.close(step.kind);
      continue;
    }
    for (const unit of step.units) step.layer.remove(step.kind, pool.index[unit]!);
    removed.push(...step.units);
    freed += step.gain;
  }
}

/** The units of one kind that a layer can lose next. */
interface Step {
  readonly layer: RaggedLayer;
  readonly kind: CutKind;
  /** Positions in the pool. */
  readonly units: readonly number[];
  /** Largest key of the units. */
  readonly key: number;
  /** Parameters that it frees. */
  readonly gain: number;
}

/** One layer, and the units that it has lost so far. */
class RaggedLayer {
  readonly #costs: BlockCosts;
  readonly #ledger: LayerLedger;
  readonly #floor: number;
  readonly #pool: RankedUnits;
  /** Per kind that may still lose units, positions in the pool, in the order of removal. */
  readonly #order: Map<CutKind, readonly number[]>;
  /** FFN widths that the layer can have, descending. */
  readonly #widths: readonly number[];
  #next: Step | null | undefined;

  constructor(
    { costs: allCosts, floor, snap }: SelectionContext,
    layer: number,
    pool: RankedUnits,
    order: Map<CutKind, readonly number[]>,
  ) {
    const costs = allCosts[layer]!;
    this.#costs = costs;
    this.#ledger = new LayerLedger(costs);
    this.#floor = floor;
    this.#pool = pool;
    this.#order = order;
    this.#widths = snappedWidths(costs.sizes.intermediateSize, snap, this.#least("ffn"));
  }

  /** The step with the smallest key; null if no step is left. */
  next(): Step | null {
    if (this.#next !== undefined) return this.#next;
    let best: Step | null = null;
    for (const kind of this.#order.keys()) {
      const units = this.#unitsOf(kind);
      if (units === null) continue;
      const key = units.reduce((largest, unit) => Math.max(largest, this.#pool.keys[unit]!), 0);
      if (best !== null && best.key <= key) continue;
      const gain = units.reduce((sum, unit) => sum + this.#ledger.gainOf(kind, this.#pool.index[unit]!), 0);
      best = { layer: this, kind, units, key, gain };
    }
    this.#next = best;
    return best;
  }

  /** Removes a unit. */
  remove(kind: CutKind, index: number): void {
    this.#ledger.remove(kind, index);
    this.#next = undefined;
  }

  /** Lets a kind lose nothing more. */
  close(kind: CutKind): void {
    this.#order.delete(kind);
    this.#next = undefined;
  }

  #unitsOf(kind: CutKind): readonly number[] | null {
    const order = this.#order.get(kind) ?? [];
    if (kind === "ffn") {
      const kept = this.#ledger.kept("ffn");
      const width = this.#widths.find((candidate) => candidate < kept);
      return width === undefined ? null : order.slice(order.length - kept, order.length - width);
    }
    const left = order.filter((unit) => !this.#ledger.isGone(kind, this.#pool.index[unit]!));
    if (kind === "kv-group") {
      const [first] = left;
      return first !== undefined && this.#ledger.mayRemove(kind, this.#pool.index[first]!, this.#floor) ? [first] : null;
    }
    return this.#headOfEachGroup(left);
  }

  /** The first head of every kept group: grouped-query attention requires the same number in each. */
  #headOfEachGroup(left: readonly number[]): readonly number[] | null {
    const groups = this.#ledger.kept("kv-group");
    const heads = new Map<number, number>();
    for (const unit of left) {
      const group = Math.floor(this.#pool.index[unit]! / this.#costs.headsPerGroup);
      if (!heads.has(group)) heads.set(group, unit);
    }
    const after = left.length - groups;
    return after >= Math.max(groups, this.#least("head")) ? [...heads.values()] : null;
  }

  #least(kind: CutKind): number {
    return Math.max(1, Math.ceil(this.#floor * cutUnitCount(kind, this.#costs.sizes)));
  }
}
