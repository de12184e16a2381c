/**
 * @file What a unit's removal costs the model, in one currency over layers and kinds: expected damage, in nats per token.
 *
 * Relevance says how much of a layer's output a unit carries, not how much the layers behind mind its loss. That is measured by trials: a
 * layer loses its least relevant units alone, and the divergence of the model's output is read. A trial of energy E (Σ relevance² of its
 * units) and damage d gives the law d = c·E^p of its layer and kind, with p from two trials of unlike size, or 1. A unit's share of the
 * damage is what it adds to the law when units go in the order of their relevance:
 *
 *     value_j = c · (S_j^p − (S_j − e_j)^p)     e_j = relevance_j², S_j = Σ e_i over the units with a relevance at or under its own
 *
 * Without trials the value is the energy e_j itself.
 */

import type { Dimension } from "../corpora/corpus.ts";
import type { CutKind } from "./plan.ts";
import { rankUnits } from "./ranking.ts";
import type { SelectionContext } from "./selection-context.ts";

/** Units that one layer loses alone. */
export interface CutTrial {
  readonly layer: number;
  readonly kind: CutKind;
  readonly removed: readonly number[];
}

/** What a trial did to the model. */
export interface MeasuredTrial extends CutTrial {
  /** Per dimension, the mean divergence on its documents in nats per token. */
  readonly damage: Readonly<Partial<Record<Dimension, number>>>;
}

/** Shares of a layer's units that trials remove. Two, for the law's exponent; the larger is near the deepest cuts that a default floor allows. */
const TRIAL_SHARES = [0.3, 0.6] as const;

/** The exponent lies between these: noise in two small damages must not make a deep cut look free or impossible. */
const [LEAST_EXPONENT, MOST_EXPONENT] = [0.8, 2];

/** The trials from which `unitDamage` learns: of every layer and kind, its least relevant units. */
export function planTrials(context: Pick<SelectionContext, "relevance" | "weights" | "costs">): CutTrial[] {
  return context.relevance.flatMap((kinds, layer) =>
    [...kinds].flatMap(([kind, values]): CutTrial[] => {
      const { order } = rankUnits([[{ layer, kind, values }]], context.weights);
      const { headsPerGroup, sizes } = context.costs[layer]!;
      const counts = TRIAL_SHARES.map((share) => Math.max(1, Math.floor(share * order.length)));
      if (kind === "head") return [{ layer, kind, removed: firstOfEachGroup(order, headsPerGroup) }];
      const most = kind === "kv-group" ? sizes.numKeyValueHeads - 1 : order.length - 1;
      return [...new Set(counts.map((count) => Math.min(count, most)))]
        .filter((count) => count > 0)
        .map((count) => ({ layer, kind, removed: [...order.subarray(0, count)].toSorted((a, b) => a - b) }));
    }),
  );
}

/** Grouped-query attention wants as many heads in every group. */
function firstOfEachGroup(order: Uint32Array, headsPerGroup: number): number[] {
  const firsts = new Map<number, number>();
  for (const head of order) {
    const group = Math.floor(head / headsPerGroup);
    if (!firsts.has(group)) firsts.set(group, head);
  }
  return [...firsts.values()].toSorted((a, b) => a - b);
}

/**
 * Expected damage of every unit of one layer and kind, by dimension, [U].
 * @param values relevance by dimension, [U].
 * @param trials of this layer and kind; none: the energies come back.
 */
export function unitDamage(
  values: readonly Float64Array[],
  dimensions: readonly Dimension[],
  trials: readonly MeasuredTrial[],
): readonly Float64Array[] {
  return values.map((relevance, d) => {
    const energies = relevance.map((value) => value * value);
    const law = fitLaw(energies, dimensions[d]!, trials);
    if (law === null) return energies;
    const order = Uint32Array.from(energies, (_, unit) => unit).toSorted((a, b) => energies[a]! - energies[b]!);
    const damage = new Float64Array(energies.length);
    let sum = 0;
    for (const unit of order) {
      const before = sum ** law.exponent;
      sum += energies[unit]!;
      damage[unit] = law.factor * (sum ** law.exponent - before);
    }
    return damage;
  });
}

function fitLaw(
  energies: Float64Array,
  dimension: Dimension,
  trials: readonly MeasuredTrial[],
): { readonly factor: number; readonly exponent: number } | null {
  const points = trials
    .map(({ removed, damage }) => ({
      energy: removed.reduce((sum, unit) => sum + energies[unit]!, 0),
      damage: Math.max(0, damage[dimension] ?? 0),
    }))
    .filter(({ energy, damage }) => energy > 0 && damage > 0)
    .toSorted((a, b) => a.energy - b.energy);
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return null;
  const slope = Math.log(last.damage / first.damage) / Math.log(last.energy / first.energy);
  const exponent = first === last || !Number.isFinite(slope) ? 1 : Math.min(MOST_EXPONENT, Math.max(LEAST_EXPONENT, slope));
  // Through the larger trial, whose damage stands out of the noise.
  return { factor: last.damage / last.energy ** exponent, exponent };
}
