/**
 * @file The section of a model card on what was removed: plan and output → Markdown tables.
 */

import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { CUT_KINDS, keptLayers } from "../selection/plan.ts";
import type { CutKind, PrunePlan } from "../selection/plan.ts";
import { cutUnitCount } from "../selection/unit-parameters.ts";
import { count, inline, megabytes, percent } from "./card-format.ts";

/** Size of the weights in one format, as in `WrittenPart`. */
interface PartSize {
  readonly label: string;
  readonly bytes: { readonly before: number | null; readonly after: number };
}

/** Names of the units in the table. */
const KIND_NAMES: Readonly<Record<CutKind, string>> = {
  ffn: "FFN units",
  head: "query heads",
  "kv-group": "KV groups",
  "value-dim": "value dimensions",
  "rotary-pair": "rotary pairs",
  layer: "whole layers",
  "matrix:gate": "rows of gate",
  "matrix:up": "rows of up",
  "matrix:down": "columns of down",
  "matrix:q": "rows of q",
  "matrix:k": "rows of k",
  "matrix:v": "rows of v",
  "matrix:o": "columns of o",
};

/** The table of parameters and file sizes, and the requested reduction. */
export function sizeTable(plan: PrunePlan, parts: readonly PartSize[]): string {
  const { total, removed, requested, blocks } = plan.parameters;
  const after = plan.layout === "masked" ? `${count(total)}, ${count(removed)} of them zeroed` : count(total - removed);
  return [
    "| | before | after |",
    "| --- | --- | --- |",
    `| parameters | ${count(total)} | ${after} |`,
    ...parts.map(
      ({ label, bytes }) => `| ${label} | ${bytes.before === null ? "" : megabytes(bytes.before)} | ${megabytes(bytes.after)} |`,
    ),
    "",
    `Requested reduction: \`${inline(plan.budget)}\`, i.e. ${count(requested)} parameters. ` +
      `Removed: ${count(removed)} parameters, ${percent(removed, total)} of the model and ` +
      `${percent(removed, blocks)} of its decoder blocks.`,
  ].join("\n");
}

/** The removed layers, by their numbers in the dense model. */
export function droppedLayers(plan: PrunePlan): number[] {
  const kept = new Set(keptLayers(plan));
  return plan.layers.map(({ layer }) => layer).filter((layer) => !kept.has(layer));
}

/** The table of removed units per layer, after notes on removed layers and tokens. */
export function unitTable(config: ModelConfig, plan: PrunePlan): string {
  const layers = keptLayers(plan);
  const rows = CUT_KINDS.flatMap((kind) => {
    const lost = layers.map((layer) => plan.layers[layer]!.cuts[kind]?.removed.length ?? 0);
    if (lost.every((units) => units === 0)) return [];
    const dense = layers.map((layer) => cutUnitCount(kind, blockSizes(config, layer)));
    const sorted = lost.map((units, index) => dense[index]! - units).toSorted((a, b) => a - b);
    const [least = 0, most = 0] = [sorted[0], sorted.at(-1)];
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    const before = [...new Set([Math.min(...dense), Math.max(...dense)])].join(" to ");
    const after = least === most ? `${least} in every layer` : `${least} to ${most}, median ${median}`;
    return [`| ${KIND_NAMES[kind]} | ${before} | ${after} |`];
  });
  const texts = [...layerTexts(plan), ...vocabularyTexts(plan)];
  if (rows.length === 0) return texts.length > 0 ? texts.join("\n\n") : "Nothing was removed.";
  return [
    ...texts.flatMap((text) => [text, ""]),
    `| per layer, of ${layers.length} | before | ${plan.layout === "masked" ? "not zeroed" : "after"} |`,
    "| --- | --- | --- |",
    ...rows,
  ].join("\n");
}

function layerTexts(plan: PrunePlan): string[] {
  const dropped = droppedLayers(plan);
  if (dropped.length === 0) return [];
  const kept = plan.layers.length - dropped.length;
  return [
    `${kept} of ${plan.layers.length} layers were kept and renumbered. Removed layers, numbered from 0: ${dropped.join(", ")}.`,
  ];
}

function vocabularyTexts({ vocabulary }: PrunePlan): string[] {
  if (vocabulary === undefined) return [];
  const { size, removed } = vocabulary;
  return [
    `${count(size - removed.length)} of ${count(size)} tokens were kept and renumbered; tokens that hardly ever occur in any ` +
      "of these dimensions were removed. Text that consists of kept tokens is tokenised as before, other text into smaller " +
      "tokens.",
  ];
}
