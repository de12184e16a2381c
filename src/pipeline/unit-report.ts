/**
 * @file A plan in numbers: how many units of each kind every layer loses.
 */

import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { UnitReport, VocabularyReport } from "../report/report.ts";
import { CUT_KINDS, type PrunePlan } from "../selection/plan.ts";
import { cutUnitCount } from "../selection/unit-parameters.ts";

/** One entry per kind that some layer loses, in the order of `CUT_KINDS`. */
export function countUnits(plan: PrunePlan, config: ModelConfig): readonly UnitReport[] {
  return CUT_KINDS.map((kind) => ({
    kind,
    before: config.layerSizes.map((_, layer) => cutUnitCount(kind, blockSizes(config, layer))),
    removedPerLayer: plan.layers.map(({ cuts }) => cuts[kind]?.removed.length ?? 0),
  })).filter(({ removedPerLayer }) => removedPerLayer.some((count) => count > 0));
}

/** The tokens that a plan removes, in numbers; null if it removes none. */
export function countTokensOf({ vocabulary }: PrunePlan): VocabularyReport | null {
  if (vocabulary === undefined) return null;
  const { size, removed, splits } = vocabulary;
  return { before: size, after: size - removed.length, splits };
}
