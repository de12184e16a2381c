/**
 * @file Selection in layout `uniform`, where every layer keeps the same sizes.
 *
 * Attention has few possible shapes, so all are tried: each layer loses g KV groups, and m query heads of each kept
 * group; the FFN width is then the snapped one that comes closest to the budget. Of the shapes that meet the budget as
 * closely as a snapped width can, the one that loses the least energy (relevance², the largest over dimensions) per
 * freed parameter is taken. Within a layer, units are removed in the order of their keys (see ranking.ts). Energies are
 * added up over units; cross terms between groups and between heads are ignored.
 * Source: docs/architecture.md, "Thresholds and selection" and "Layouts".
 */

import type { LayerChoice } from "./choice.ts";
import { unreachable } from "./choice.ts";
import type { UnitKind } from "../model/units.ts";
import { rankUnits } from "./ranking.ts";
import type { SelectionContext } from "./selection-context.ts";
import { snappedWidths } from "./snapping.ts";
import { stockHeads } from "./stock-heads.ts";
import { unitParameters } from "./unit-parameters.ts";
import type { BlockCosts } from "./unit-parameters.ts";

/** The units that each layer loses, in numbers. */
interface UniformShape {
  readonly groups: number;
  readonly headsPerKeptGroup: number;
  readonly ffnUnits: number;
  /** Over all layers. */
  readonly removed: number;
}

/** One layer's units of a kind, in the order of removal. */
interface LayerOrder {
  /** Units by key. */
  readonly order: readonly number[];
  readonly keys: Float64Array;
  readonly rankShares: readonly Float64Array[];
  /** Per unit, the largest over dimensions of (w · relevance)². */
  readonly energy: Float64Array;
}

type LayerOrders = ReadonlyMap<UnitKind, LayerOrder>;

/**
 * Chooses the units that are cut out.
 * @throws CusprunError `BUDGET_UNREACHABLE`.
 */
export function selectUniform(context: SelectionContext): LayerChoice[] {
  const orders = context.relevance.map((_, layer) => orderLayer(context, layer));
  const shape = bestShape(context, orders);
  return orders.map((layer) => chooseUnits(context, layer, shape));
}

function orderLayer(context: SelectionContext, layer: number): LayerOrders {
  const orders = new Map<UnitKind, LayerOrder>();
  for (const [kind, values] of context.relevance[layer] ?? []) {
    const { order, keys, rankShares } = rankUnits([[{ layer, kind, values }]], context.weights);
    const damage = context.damage[layer]!.get(kind)!;
    const energy = Float64Array.from(keys, (_, unit) =>
      Math.max(...damage.map((perUnit, d) => context.weights[d]! ** 2 * perUnit[unit]!)),
    );
    orders.set(kind as UnitKind, { order: [...order], keys, rankShares, energy });
  }
  return orders;
}

function bestShape(context: SelectionContext, orders: readonly LayerOrders[]): UniformShape {
  const { requested } = context.parameters;
  const shapes = candidateShapes(context);
  const missOf = (shape: UniformShape): number => Math.abs(shape.removed - requested);
  const smallestMiss = Math.min(...shapes.map(missOf));
  const step = context.kinds.includes("ffn") ? context.snap * unitParameters("ffn", layerCosts(context)) * orders.length : 0;
  const most = Math.max(...shapes.map((shape) => shape.removed));
  if (requested > most + step / 2) {
    throw unreachable(
      context,
      most,
      `with every layer keeping ${context.floor} of its units (floor) in sizes that stock runtimes load`,
    );
  }
  const energyOf = energyTable(context, orders);
  const close = shapes.filter((shape) => missOf(shape) <= Math.max(smallestMiss, step / 2));
  const rate = (shape: UniformShape): number => (shape.removed === 0 ? 0 : energyOf(shape) / shape.removed);
  return close.reduce((best, shape) =>
    rate(shape) < rate(best) || (rate(shape) === rate(best) && missOf(shape) < missOf(best)) ? shape : best,
  );
}

/** Every shape of attention that stock runtimes load, each with the FFN width that comes closest to the budget. */
function candidateShapes(context: SelectionContext): UniformShape[] {
  const costs = layerCosts(context);
  const R = costs.headsPerGroup;
  const { numAttentionHeads: H, numKeyValueHeads: G, intermediateSize: F } = costs.sizes;
  const layerCount = context.relevance.length;
  const atLeast = (count: number): number => Math.max(1, Math.ceil(context.floor * count));
  const groupLimit = context.kinds.includes("kv-group") ? G - atLeast(G) : 0;
  const headLimit = context.kinds.includes("head") ? R - 1 : 0;
  const widths = context.kinds.includes("ffn") ? snappedWidths(F, context.snap, atLeast(F)) : [F];
  const shapes: UniformShape[] = [];
  for (let groups = 0; groups <= groupLimit; groups++) {
    for (let headsPerKeptGroup = 0; headsPerKeptGroup <= headLimit; headsPerKeptGroup++) {
      const headCount = (G - groups) * (R - headsPerKeptGroup);
      if (headCount < atLeast(H) || stockHeads(context.config, headCount, context.optionalRoles) === null) continue;
      const attention =
        groups * unitParameters("kv-group", costs) + (G - groups) * headsPerKeptGroup * unitParameters("head", costs);
      const removedAt = (width: number): number => layerCount * (attention + (F - width) * unitParameters("ffn", costs));
      const missAt = (width: number): number => Math.abs(removedAt(width) - context.parameters.requested);
      const width = widths.reduce((best, candidate) => (missAt(candidate) < missAt(best) ? candidate : best));
      shapes.push({ groups, headsPerKeptGroup, ffnUnits: F - width, removed: removedAt(width) });
    }
  }
  return shapes;
}

/** Costs of each layer: all have the same sizes. */
function layerCosts({ costs }: SelectionContext): BlockCosts {
  return costs[0]!;
}

/** The energy that a shape loses over all layers. */
function energyTable(context: SelectionContext, orders: readonly LayerOrders[]): (shape: UniformShape) => number {
  const ffnPrefix = new Float64Array(layerCosts(context).sizes.intermediateSize + 1);
  for (const layer of orders) {
    const ffn = layer.get("ffn");
    let sum = 0;
    ffn?.order.forEach((unit, i) => {
      sum += ffn.energy[unit]!;
      ffnPrefix[i + 1]! += sum;
    });
  }
  return (shape) => {
    let energy = ffnPrefix[shape.ffnUnits]!;
    for (const layer of orders) {
      const { groups, heads } = chooseAttention(context, layer, shape);
      for (const group of groups) energy += layer.get("kv-group")!.energy[group]!;
      for (const head of heads) energy += layer.get("head")!.energy[head]!;
    }
    return energy;
  };
}

/** The first groups by key, and the first heads by key of each kept group. */
function chooseAttention(
  context: SelectionContext,
  layer: LayerOrders,
  shape: UniformShape,
): { groups: number[]; heads: number[] } {
  const R = layerCosts(context).headsPerGroup;
  const groups = layer.get("kv-group")?.order.slice(0, shape.groups) ?? [];
  const taken = new Map(groups.map((group) => [group, Infinity]));
  const heads: number[] = [];
  for (const head of layer.get("head")?.order ?? []) {
    const group = Math.floor(head / R);
    const count = taken.get(group) ?? 0;
    if (count >= shape.headsPerKeptGroup) continue;
    taken.set(group, count + 1);
    heads.push(head);
  }
  return { groups, heads };
}

function chooseUnits(context: SelectionContext, layer: LayerOrders, shape: UniformShape): LayerChoice {
  const { groups, heads } = chooseAttention(context, layer, shape);
  const removedOf = new Map<UnitKind, number[]>([
    ["ffn", layer.get("ffn")?.order.slice(0, shape.ffnUnits) ?? []],
    ["kv-group", groups],
    ["head", heads],
  ]);
  const choice: LayerChoice = new Map();
  for (const [kind, { keys, rankShares }] of layer) {
    const removed = removedOf.get(kind) ?? [];
    const threshold = removed.reduce((largest, unit) => Math.max(largest, keys[unit]!), 0);
    choice.set(kind, {
      removed,
      irrelevant: rankShares.map((shares) => Uint8Array.from(shares, (share) => (share <= threshold ? 1 : 0))),
    });
  }
  return choice;
}
