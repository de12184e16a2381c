/**
 * @file What a unit's removal costs the model, in one currency over layers and kinds: expected damage, in nats per token.
 *
 * Relevance says how much of a layer's output a unit carries, not how much the layers behind mind its loss. That is measured by trials: a
 * layer loses the less relevant half of its units alone, and the divergence of the model's output is read: D, with E the sum of their energies
 * (relevance²). The damage is shared out among all units by energy. With c_j the energies of the units up to j, the less relevant first:
 *
 *     value_j = D · (c_j − c_{j−1}) / E        where the trial was repaired,
 *     value_j = D · (c_j² − c_{j−1}²) / E²     where it was not.
 *
 * A layer's own damage grows about evenly with the energy that it loses. But what layers hold in common, so that each of them is missed little
 * alone, is missed when all of them lose it, unless repair mends one after the other: without it a layer's next unit costs the more, the more is gone.
 * With repair the first was the better (one model), without it the second on two of three (docs/LOG.md). Without trials the value is the energy itself.
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
  /** Whether what the layer writes is fitted anew before the damage is read. */
  readonly repaired: boolean;
}

/** What a trial did to the model. */
export interface MeasuredTrial extends CutTrial {
  /** Per dimension, the mean divergence on its documents in nats per token. */
  readonly damage: Readonly<Partial<Record<Dimension, number>>>;
}

/** Share of a layer's units that a trial removes: near the cuts that are made, and far enough that the damage stands out of the noise. */
const TRIAL_SHARE = 0.5;

/**
 * The trials from which `unitDamage` learns: of every layer and kind, its least relevant units.
 * @param repaired whether the expert will be repaired, and trials are to be judged after it.
 */
export function planTrials(context: Pick<SelectionContext, "relevance" | "weights" | "costs">, repaired: boolean): CutTrial[] {
  return context.relevance.flatMap((kinds, layer) =>
    [...kinds].flatMap(([kind, values]): CutTrial[] => {
      const { order } = rankUnits([[{ layer, kind, values }]], context.weights);
      const { headsPerGroup, sizes } = context.costs[layer]!;
      if (kind === "head") return [{ layer, kind, removed: firstOfEachGroup(order, headsPerGroup), repaired }];
      const most = kind === "kv-group" ? sizes.numKeyValueHeads - 1 : order.length - 1;
      const count = Math.min(most, Math.max(1, Math.floor(TRIAL_SHARE * order.length)));
      return count < 1 ? [] : [{ layer, kind, removed: [...order.subarray(0, count)].toSorted((a, b) => a - b), repaired }];
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
 * Expected damage of every unit of one layer and kind, by dimension, [U], where the less relevant ones went before it.
 * @param values relevance by dimension, [U].
 * @param trial of this layer and kind; without one the energies come back.
 */
export function unitDamage(
  values: readonly Float64Array[],
  dimensions: readonly Dimension[],
  trial: MeasuredTrial | undefined,
): readonly Float64Array[] {
  return values.map((relevance, d) => {
    const energies = relevance.map((value) => value * value);
    const tried = (trial?.removed ?? []).reduce((sum, unit) => sum + energies[unit]!, 0);
    if (trial === undefined || tried === 0) return energies;
    const damage = Math.max(0, trial.damage[dimensions[d]!] ?? 0);
    if (trial.repaired) return energies.map((energy) => (damage * energy) / tried);
    const order = Uint32Array.from(energies, (_, unit) => unit).toSorted((a, b) => energies[a]! - energies[b]!);
    const shares = new Float64Array(energies.length);
    let before = 0;
    for (const unit of order) {
      const energy = energies[unit]!;
      shares[unit] = damage * (energy / tried) * ((2 * before + energy) / tried);
      before += energy;
    }
    return shares;
  });
}
