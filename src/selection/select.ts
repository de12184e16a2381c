/**
 * @file Selection: the relevances of units to up to three corpora + a budget → the plan: which units each layer loses,
 * and why.
 * Source: docs/architecture.md, "Thresholds and selection"; Cus-Prun, arXiv 2506.02561, its intersection of irrelevant
 * sets.
 */

import type { Dimension } from "../corpora/corpus.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import type { KindChoice, LayerChoice } from "./choice.ts";
import { CUT_KINDS } from "./plan.ts";
import type { CutKind, LayerCut, LayerPlan, Layout, PrunePlan } from "./plan.ts";
import { selectLayers } from "./select-layers.ts";
import { selectMasked } from "./select-masked.ts";
import { selectRagged } from "./select-ragged.ts";
import { selectUniform } from "./select-uniform.ts";
import { openSelection } from "./selection-context.ts";
import type { SelectionContext } from "./selection-context.ts";
import type { SelectionOptions } from "./selection-options.ts";
import { LayerLedger, removedParameters } from "./unit-parameters.ts";

/**
 * Selects the units that are irrelevant in every chosen dimension.
 * @throws CusprunError `BUDGET_INVALID`, `BUDGET_UNREACHABLE`, `SELECTION_INVALID`, `SCORES_LACK`,
 *   `LAYOUT_UNSUPPORTED`.
 * @example
 * ```ts
 * import { openScores, selectUnits, writePlan } from "cusprun";
 *
 * const scores = await openScores("smollm2.scores.safetensors");
 * for (const budget of ["15% of blocks", "25% of blocks"]) {
 *   const plan = await selectUnits(scores, { dimensions: ["language", "domain"], budget, layout: "uniform" });
 *   await writePlan(`${budget}.plan.json`, plan);
 * }
 * await scores.close();
 * ```
 */
export async function selectUnits(scores: RelevanceScores, options: SelectionOptions): Promise<PrunePlan> {
  const context = await openSelection(scores, options);
  const wholeLayers = context.kinds.includes("layer");
  const choices = (wholeLayers ? selectLayers : SELECTORS[context.layout])(context);
  const layers = choices.map((choice, layer) => layerPlan(context, layer, choice));
  const tokenParameters = context.vocabulary?.parameters ?? 0;
  return {
    formatVersion: 2,
    layout: context.layout,
    granularity: context.granularity,
    budget: String(options.budget),
    method: options.method ?? "cusprun",
    // Removing whole layers takes no share from each layer.
    ...(!wholeLayers && { allocation: context.allocation }),
    aggregate: context.aggregate,
    weights: byDimension(options.dimensions, (dimension) => options.weights?.[dimension] ?? 1),
    corpora: byDimension(options.dimensions, (dimension) => scores.corpora[dimension] ?? dimension),
    scores: scores.fingerprint,
    parameters: {
      ...context.parameters,
      requested: context.parameters.requested + tokenParameters,
      removed: layers.reduce((sum, layer) => sum + removedParameters(layer, context.costs[layer.layer]!), tokenParameters),
    },
    overlap: overlaps(context.dimensions, choices),
    ...(context.vocabulary !== null && { vocabulary: context.vocabulary.cut }),
    layers,
    model: scores.model,
  };
}

const SELECTORS: Readonly<Record<Layout, (context: SelectionContext) => LayerChoice[]>> = {
  masked: selectMasked,
  uniform: selectUniform,
  ragged: selectRagged,
};

function byDimension<T>(dimensions: readonly Dimension[], valueOf: (dimension: Dimension) => T): Partial<Record<Dimension, T>> {
  return Object.fromEntries(dimensions.map((dimension) => [dimension, valueOf(dimension)]));
}

function layerPlan(context: SelectionContext, layer: number, choice: LayerChoice): LayerPlan {
  const groups = new LayerLedger(context.costs[layer]!);
  for (const group of choice.get("kv-group")?.removed ?? []) groups.remove("kv-group", group);
  const cuts: Partial<Record<CutKind, LayerCut>> = {};
  for (const kind of CUT_KINDS) {
    const chosen = choice.get(kind);
    if (chosen === undefined) continue;
    // A head, value dimension or rotary pair of a removed KV group is not listed again.
    const removed = kind === "kv-group" ? chosen.removed : chosen.removed.filter((unit) => !groups.isGone(kind, unit));
    if (removed.length > 0) cuts[kind] = layerCut(context, layer, kind, { ...chosen, removed });
  }
  return { layer, cuts };
}

function layerCut(context: SelectionContext, layer: number, kind: CutKind, choice: KindChoice): LayerCut {
  const relevance = context.relevance[layer]?.get(kind) ?? [];
  const isRemoved = new Uint8Array(relevance[0]?.length ?? 0);
  for (const unit of choice.removed) isRemoved[unit] = 1;
  const irrelevantShare: Partial<Record<Dimension, number>> = {};
  const why: Partial<Record<Dimension, { removedMax?: number; keptMin?: number }>> = {};
  context.dimensions.forEach((dimension, d) => {
    const flags = choice.irrelevant[d]!;
    irrelevantShare[dimension] = readable(flags.reduce((sum, flag) => sum + flag, 0) / flags.length);
    let removedMax = -Infinity;
    let keptMin = Infinity;
    relevance[d]!.forEach((value, unit) => {
      if (isRemoved[unit] === 1) removedMax = Math.max(removedMax, value);
      else keptMin = Math.min(keptMin, value);
    });
    why[dimension] = {
      ...(Number.isFinite(removedMax) && { removedMax: readable(removedMax) }),
      ...(Number.isFinite(keptMin) && { keptMin: readable(keptMin) }),
    };
  });
  return { removed: choice.removed.toSorted((a, b) => a - b), irrelevantShare, why };
}

/** Jaccard overlap of the irrelevant sets of each pair of dimensions, over all units; 1 if both are empty. */
function overlaps(dimensions: readonly Dimension[], choices: readonly LayerChoice[]): Record<string, number> {
  const result: Record<string, number> = {};
  dimensions.forEach((first, a) => {
    dimensions.slice(a + 1).forEach((second, offset) => {
      const b = a + 1 + offset;
      let both = 0;
      let either = 0;
      for (const { irrelevant } of choices.flatMap((choice) => [...choice.values()])) {
        irrelevant[a]!.forEach((flag, unit) => {
          both += flag & irrelevant[b]![unit]!;
          either += flag | irrelevant[b]![unit]!;
        });
      }
      result[`${first}∩${second}`] = either === 0 ? 1 : readable(both / either);
    });
  });
  return result;
}

/** Six significant digits: enough to compare, short enough to read. */
function readable(value: number): number {
  return Number(value.toPrecision(6));
}
