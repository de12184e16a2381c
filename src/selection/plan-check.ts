/**
 * @file Whether a plan fits a model: every index exists, at least one layer is kept, the sizes that `ragged` leaves are
 * ones that runtimes compute, and those that `uniform` leaves are the same in every layer, in shapes that stock
 * runtimes load. A plan may be hand-edited or made for another model, so surgery checks it before it reads a weight.
 */

import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { BlockRole } from "../families/roles.ts";
import { normsQueries } from "../families/index.ts";
import { uniformLayerSizes } from "../checkpoint/config/model-config.ts";
import type { LayerSizes, ModelConfig } from "../checkpoint/config/model-config.ts";
import { CusprunError } from "../errors.ts";
import { cutKindsOf, keptLayers } from "./plan.ts";
import type { CutKind, PlannedCut, RemovedFromLayer } from "./plan.ts";
import { stockHeads } from "./stock-heads.ts";
import type { StockRewrite } from "../families/family.ts";
import { cutUnitCount } from "./unit-parameters.ts";

/** The sizes that a plan leaves; the dense sizes if it is masked. */
export interface PlannedSizes {
  /** One entry per kept layer. */
  readonly layerSizes: readonly LayerSizes[];
  readonly vocabSize: number;
  /** Config of another family to write if stock runtimes refuse the family's own. */
  readonly rewrite: StockRewrite | null;
}

/**
 * Checks a plan against a model.
 * @param optionalRoles the family's optional block tensors that the checkpoint has.
 * @param where the plan, for messages.
 * @throws CusprunError `PLAN_MISMATCH`, `LAYOUT_UNSUPPORTED`.
 */
export function checkPlan(
  plan: PlannedCut,
  config: ModelConfig,
  optionalRoles: readonly BlockRole[],
  where = "plan",
): PlannedSizes {
  if (plan.layers.length !== config.numHiddenLayers) {
    throw mismatch(where, `${plan.layers.length} layers`, `${config.numHiddenLayers}, as the model has`);
  }
  for (const { layer, cuts } of plan.layers) {
    for (const [kind, cut] of Object.entries(cuts)) {
      const count = cutUnitCount(kind as CutKind, blockSizes(config, layer));
      const last = cut.removed.at(-1) ?? -1;
      if (last >= count)
        throw mismatch(`${where}: layer ${layer}, ${kind}`, `unit ${last}`, `units under ${count}, as the model has`);
      if ((kind === "ffn" || kind === "kv-group") && cut.removed.length === count) {
        throw mismatch(`${where}: layer ${layer}, ${kind}`, `all ${count} units removed`, "at least one that is kept");
      }
    }
  }
  checkDroppedLayers(plan, where);
  const { vocabulary } = plan;
  if (vocabulary !== undefined) {
    if (plan.layout === "masked") throw mismatch(`${where}: vocabulary`, "tokens removed", "none in layout masked");
    if (vocabulary.size !== config.vocabSize)
      throw mismatch(`${where}: vocabulary`, `${vocabulary.size} tokens`, `${config.vocabSize}, as the model has`);
    const last = vocabulary.removed.at(-1) ?? -1;
    if (last >= vocabulary.size) throw mismatch(`${where}: vocabulary`, `token ${last}`, `ids under ${vocabulary.size}`);
  }
  if (normsQueries(config.family)) refuseRowsUnderNorm(plan, config, where);
  const vocabSize = config.vocabSize - (vocabulary?.removed.length ?? 0);
  switch (plan.layout) {
    case "masked":
      return { layerSizes: config.layerSizes, vocabSize, rewrite: null };
    case "ragged":
      return { layerSizes: keptSizes(plan, config, where), vocabSize, rewrite: null };
    case "uniform":
      return { ...uniformSizes(plan, config, optionalRoles, where), vocabSize };
    default:
      throw plan.layout satisfies never;
  }
}

/**
 * Only a uniform plan may remove a layer as a whole; it removes nothing else of that layer, and never removes all
 * layers.
 */
function checkDroppedLayers(plan: PlannedCut, where: string): void {
  const kept = keptLayers(plan);
  if (kept.length === plan.layers.length) return;
  if (!cutKindsOf(plan.layout, plan.granularity).includes("layer"))
    throw mismatch(where, "whole layers removed", `none in layout ${plan.layout}`);
  if (kept.length === 0) throw mismatch(where, `all ${plan.layers.length} layers removed`, "at least one that is kept");
  for (const { layer, cuts } of plan.layers) {
    if (!kept.includes(layer) && Object.keys(cuts).length > 1)
      throw mismatch(
        `${where}: layer ${layer}`,
        `${Object.keys(cuts).join(", ")} removed`,
        "layer alone, which removes all of it",
      );
  }
}

function refuseRowsUnderNorm(plan: PlannedCut, config: ModelConfig, where: string): void {
  const kinds: readonly CutKind[] = ["rotary-pair", "matrix:q", "matrix:k"];
  for (const { layer, cuts } of plan.layers) {
    const found = kinds.find((kind) => (cuts[kind]?.removed.length ?? 0) > 0);
    if (found !== undefined) {
      throw new CusprunError("LAYOUT_UNSUPPORTED", {
        where: `${where}: layer ${layer}`,
        found: `units of ${found}`,
        expected: `none: ${config.family} normalises queries and keys over a head, so that a zeroed row changes every other`,
        remedy: "Select again without this kind",
      });
    }
  }
}

/** Sizes of the kept layers after the cut. */
function keptSizes(plan: PlannedCut, { layerSizes }: ModelConfig, where: string): LayerSizes[] {
  const allowed = cutKindsOf(plan.layout, plan.granularity);
  return keptLayers(plan).map((layer) => {
    const layerPlan = plan.layers[layer]!;
    const { cuts } = layerPlan;
    const stray = Object.keys(cuts).find((kind) => !allowed.includes(kind as CutKind));
    if (stray !== undefined)
      throw mismatch(`${where}: layer ${layer}`, `units of ${stray}`, `only ${allowed.join(", ")} in layout ${plan.layout}`);
    const dense = layerSizes[layer]!;
    const groups = dense.numKeyValueHeads - (cuts["kv-group"]?.removed.length ?? 0);
    return {
      intermediateSize: dense.intermediateSize - (cuts.ffn?.removed.length ?? 0),
      numAttentionHeads: groups * headsPerKeptGroup(layerPlan, dense, where),
      numKeyValueHeads: groups,
    };
  });
}

function uniformSizes(
  plan: PlannedCut,
  config: ModelConfig,
  optionalRoles: readonly BlockRole[],
  where: string,
): Omit<PlannedSizes, "vocabSize"> {
  if (uniformLayerSizes(config) === null) {
    throw new CusprunError("LAYOUT_UNSUPPORTED", {
      where,
      found: "layout uniform, for a model whose layers differ in size",
      expected: "layout ragged or masked",
      remedy: "Select again with --layout ragged",
    });
  }
  const layerSizes = keptSizes(plan, config, where);
  const first = layerSizes[0]!;
  const layers = keptLayers(plan);
  layerSizes.forEach((sizes, index) => {
    for (const [key, noun] of SIZE_NOUNS) {
      if (sizes[key] !== first[key]) {
        throw mismatch(
          `${where}: layer ${layers[index]}`,
          `${sizes[key]} ${noun} kept`,
          `${first[key]} as in layer ${layers[0]}: layout uniform has the same sizes in every layer`,
        );
      }
    }
  });
  const stock = stockHeads(config, first.numAttentionHeads, optionalRoles);
  if (stock === null) {
    throw new CusprunError("LAYOUT_UNSUPPORTED", {
      where,
      found: `${first.numAttentionHeads} query heads kept of a hidden size of ${config.hiddenSize}`,
      expected: "a divisor of the hidden size, which stock transformers requires for this family",
      remedy: "Remove another number of heads, only FFN units, or choose --layout masked",
    });
  }
  return { layerSizes, rewrite: stock === "as-is" ? null : stock };
}

const SIZE_NOUNS = [
  ["numKeyValueHeads", "KV groups"],
  ["numAttentionHeads", "query heads"],
  ["intermediateSize", "FFN units"],
] as const;

/** Query heads that each KV group of a layer keeps: grouped-query attention requires the same number in all of them. */
function headsPerKeptGroup(
  layer: RemovedFromLayer,
  { numAttentionHeads: H, numKeyValueHeads: G }: LayerSizes,
  where: string,
): number {
  const R = H / G;
  const removed = new Set(layer.cuts["kv-group"]?.removed);
  const kept = Array.from({ length: G }, () => R);
  for (const head of layer.cuts.head?.removed ?? []) kept[Math.floor(head / R)]! -= 1;
  const counts = new Set(kept.filter((_, group) => !removed.has(group)));
  const [count = 0] = counts;
  if (counts.size !== 1 || count === 0) {
    throw mismatch(
      `${where}: layer ${layer.layer}, head`,
      `${[...counts].join(", ")} heads kept per group`,
      "the same number, at least 1, in every kept group",
    );
  }
  return count;
}

function mismatch(where: string, found: string, expected: string): CusprunError {
  return new CusprunError("PLAN_MISMATCH", {
    where,
    found,
    expected,
    remedy: "Use the plan with the model it was made for, or select again",
  });
}
