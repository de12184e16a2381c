/**
 * @file The expected damage of a unit's removal, in nats per token: one currency over layers and kinds.
 *
 * Relevance says which share of a layer's output a unit carries, but not how sensitive the later layers are to its
 * loss. Trials measure that: a layer alone loses the less relevant half of its units, and the divergence D of the
 * model's output is read. E is the sum of the removed units' energies (relevance²). The damage is divided among all
 * units by energy. With c_j the sum of the energies of the units up to j, in ascending order of relevance:
 *
 *     value_j = D · (c_j − c_{j−1}) / E        if the trial was repaired,
 *     value_j = D · (c_j² − c_{j−1}²) / E²     otherwise.
 *
 * A layer's own damage grows about evenly with the energy that it loses. But layers share information: removing from
 * any one layer costs little, removing from all of them costs a lot, unless repair corrects one layer after the other.
 * Without repair, each further unit of a layer therefore costs more than the last. With repair the first formula was
 * the better one (one model), without it the second one on two of three models (docs/LOG.md). Without trials the value
 * is the energy itself.
 * Source: docs/architecture.md, "Trial cuts".
 */

import type { Dimension } from "../corpora/corpus.ts";
import type { LayerRelevance } from "./layer-relevance.ts";
import type { CutKind } from "./plan.ts";
import { rankUnits } from "./ranking.ts";
import type { BlockCosts } from "./unit-parameters.ts";

/** Units that one layer loses alone. */
export interface CutTrial {
  readonly layer: number;
  readonly kind: CutKind;
  readonly removed: readonly number[];
  /** Whether the matrix that writes the layer's output is fitted again before the damage is read. */
  readonly repaired: boolean;
}

/** A trial and the damage that it did to the model. */
export interface MeasuredTrial extends CutTrial {
  /** Per dimension, the mean divergence on its documents in nats per token. */
  readonly damage: Readonly<Partial<Record<Dimension, number>>>;
}

/**
 * Share of a layer's units that a trial removes: close to the usual cuts, and large enough that the damage exceeds the
 * noise.
 */
const TRIAL_SHARE = 0.5;

/** The parts of a selection that trials are planned from: one entry per layer, and one weight per dimension. */
export interface TrialBasis {
  readonly relevance: readonly LayerRelevance[];
  readonly weights: readonly number[];
  readonly costs: readonly BlockCosts[];
}

/**
 * The trials from which `unitDamage` learns: one per layer and kind, each removing the least relevant units.
 * @param repaired whether the expert will be repaired; if so, the damage of a trial is measured after a repair of its
 *   own.
 */
export function planTrials({ relevance, weights, costs }: TrialBasis, repaired: boolean): CutTrial[] {
  return relevance.flatMap((kinds, layer) =>
    [...kinds].flatMap(([kind, values]): CutTrial[] => {
      const { order } = rankUnits([[{ layer, kind, values }]], weights);
      const { headsPerGroup, sizes } = costs[layer]!;
      if (kind === "head") return [{ layer, kind, removed: firstOfEachGroup(order, headsPerGroup), repaired }];
      const most = kind === "kv-group" ? sizes.numKeyValueHeads - 1 : order.length - 1;
      const count = Math.min(most, Math.max(1, Math.floor(TRIAL_SHARE * order.length)));
      return count < 1 ? [] : [{ layer, kind, removed: [...order.subarray(0, count)].toSorted((a, b) => a - b), repaired }];
    }),
  );
}

/**
 * The least relevant head of every KV group: grouped-query attention requires the same number of heads in all of them.
 */
function firstOfEachGroup(order: Uint32Array, headsPerGroup: number): number[] {
  const firsts = new Map<number, number>();
  for (const head of order) {
    const group = Math.floor(head / headsPerGroup);
    if (!firsts.has(group)) firsts.set(group, head);
  }
  return [...firsts.values()].toSorted((a, b) => a - b);
}

/**
 * Expected damage of every unit of one layer and kind, by dimension, [U], if the less relevant ones were removed before
 * it.
 * @param values relevance by dimension, [U].
 * @param trial of this layer and kind; without one the energies are returned.
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
