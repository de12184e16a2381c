/**
 * @file Plans made by hand, for tests of what a plan does.
 */

import type { CutKind, LayerCut, PrunePlan } from "../../src/selection/plan.ts";

/** The units that one layer loses, by kind. */
export type Removed = Partial<Record<CutKind, readonly number[]>>;

/** A plan that removes the given units, one entry per layer. */
export function planOf(layout: PrunePlan["layout"], removed: readonly Removed[], changes: Partial<PrunePlan> = {}): PrunePlan {
  return {
    formatVersion: 2,
    layout,
    granularity: "structural",
    budget: "25% of blocks",
    aggregate: "mean",
    weights: { language: 1 },
    corpora: { language: "en" },
    scores: "0".repeat(64),
    parameters: { total: 1000, blocks: 800, requested: 200, removed: 198 },
    overlap: {},
    layers: removed.map((cuts, layer) => ({
      layer,
      cuts: Object.fromEntries(Object.entries(cuts).map(([kind, indices]) => [kind, cutOf(indices)])),
    })),
    model: null,
    ...changes,
  };
}

function cutOf(removed: readonly number[]): LayerCut {
  return { removed, irrelevantShare: { language: 0.25 }, why: { language: { removedMax: 0.01, keptMin: 0.02 } } };
}
