/**
 * @file The model card (README.md) of an expert: what was done, with what, and what it cost. Every number comes from the plan or from
 * a measurement. Front matter: the Hugging Face hub's model card metadata.
 */

import { stringify } from "yaml";
import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { METHOD_NAMES, METHODS } from "../selection/methods/index.ts";
import { CUT_KINDS, keptLayers } from "../selection/plan.ts";
import type { CutKind, PrunePlan } from "../selection/plan.ts";
import { cutUnitCount } from "../selection/unit-parameters.ts";
import type { RepairSummary } from "../surgery/repair.ts";

/** A corpus, as the card names it. */
export interface CardCorpus {
  readonly dimension: Dimension;
  /** What the user called it. */
  readonly label: string;
  /** Where its documents come from; names that mean something to a reader elsewhere, no paths. */
  readonly sources: readonly string[];
  /** Documents that chose and that judged; null where an expert is made from a plan, which does not record them. */
  readonly calibrationDocuments: number | null;
  readonly heldOutDocuments: number | null;
  /** Perplexity per token on the held-out documents, bits per byte where the vocabulary was cut; null where not measured. */
  readonly quality: { readonly before: number; readonly after: number } | null;
}

/** What the card says that is neither in the plan nor in the expert. */
export interface ModelCardInput {
  /** Name of the expert: the title. */
  readonly title: string;
  /** The base model's name for readers. A path is not shown: only its last part is. */
  readonly baseModelName: string;
  /** The base model's id on the Hugging Face hub, `owner/name`, or null where it is not known. */
  readonly baseModelId: string | null;
  /** The base model's licence identifier, or null where its README names none. */
  readonly license: string | null;
  /** ISO 639-1 codes of the languages; empty where none is known. */
  readonly languages: readonly string[];
  /** In the order language, domain, task. */
  readonly corpora: readonly CardCorpus[];
  /** Config of the dense model. */
  readonly denseConfig: ModelConfig;
  /** What repair did; null where the weights are those that the cut left. */
  readonly repair: RepairSummary | null;
  /** Version of cusprun. */
  readonly version: string;
}

/** What was written in one format. */
export interface WrittenPart {
  /** Names of the files, in the order of writing. */
  readonly files: readonly string[];
  /** What the weights are, for a table, e.g. `weights in BF16`. */
  readonly label: string;
  /** Bytes of the expert's weights, and of the dense model's in the same form; null where it was not in this form. */
  readonly bytes: { readonly before: number | null; readonly after: number };
  /** How the hub and its tools call what loads it. */
  readonly library: "transformers" | "gguf" | "transformers.js";
  /** Markdown of the card's chapter on loading. */
  readonly howToLoad: string;
  /** What the card says among the limitations. */
  readonly limitations: readonly string[];
}

/** What was written beside the card. */
export interface CardOutput {
  readonly config: ModelConfig;
  readonly parts: readonly WrittenPart[];
}

/** Units in a reader's words: singular for columns of the table. */
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

/** Text of the model card: Markdown with YAML front matter. */
export function modelCard(input: ModelCardInput, plan: PrunePlan, output: CardOutput): string {
  const sections = [
    frontMatter(input, output),
    `# ${inline(input.title)}`,
    introduction(input, plan),
    "## What was removed",
    sizeTable(plan, output),
    unitTable(input.denseConfig, plan),
    howChosen(plan),
    howRepaired(input.repair),
    "## Dimensions",
    corpusTable(input.corpora, plan),
    "## How to load it",
    ...output.parts.map(({ howToLoad }) => howToLoad),
    "## Limitations",
    limitations(input, plan, output),
    "## Source",
    `${source(plan)} Made with cusprun ${inline(input.version)}; \`cusprun-plan.json\` lists every unit that went.`,
  ];
  return `${sections.join("\n\n")}\n`;
}

function frontMatter(input: ModelCardInput, { parts }: CardOutput): string {
  const libraries = parts.map(({ library }) => library);
  const metadata = {
    ...(input.baseModelId !== null && { base_model: input.baseModelId }),
    ...(input.license !== null && { license: input.license }),
    ...(input.languages.length > 0 && { language: input.languages }),
    library_name: libraries.includes("transformers") ? "transformers" : libraries[0],
    pipeline_tag: "text-generation",
    tags: ["cusprun", "pruned", ...libraries.filter((library) => library !== "transformers")],
  };
  return `---\n${stringify(metadata)}---`;
}

function introduction(input: ModelCardInput, plan: PrunePlan): string {
  const base =
    input.baseModelId === null ? `\`${baseName(input)}\`` : `[${baseName(input)}](https://huggingface.co/${input.baseModelId})`;
  const place = input.corpora.map(({ dimension, label }) => `${dimension} **${inline(label)}**`).join(", ");
  const done = plan.layout === "masked" ? "zeroed" : "cut out";
  const dropped = droppedLayers(plan);
  const what =
    dropped.length > 0
      ? `${dropped.length} of its ${plan.layers.length} decoder layers`
      : `Units that are irrelevant in ${input.corpora.length === 1 ? "this dimension" : "every one of these dimensions"}`;
  return `${base}, pruned to an expert in ${place}. ${what} were ${done}. Nothing was trained.`;
}

function sizeTable(plan: PrunePlan, { parts }: CardOutput): string {
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
    `Asked for: \`${inline(plan.budget)}\`, which is ${count(requested)} parameters. Removed: ${count(removed)}, ` +
      `${percent(removed, total)} of all parameters and ${percent(removed, blocks)} of the blocks'.`,
  ].join("\n");
}

function droppedLayers(plan: PrunePlan): number[] {
  const kept = new Set(keptLayers(plan));
  return plan.layers.map(({ layer }) => layer).filter((layer) => !kept.has(layer));
}

function unitTable(config: ModelConfig, plan: PrunePlan): string {
  const layers = keptLayers(plan);
  const rows = CUT_KINDS.flatMap((kind) => {
    const lost = layers.map((layer) => plan.layers[layer]!.cuts[kind]?.removed.length ?? 0);
    if (lost.every((units) => units === 0)) return [];
    const dense = layers.map((layer) => cutUnitCount(kind, blockSizes(config, layer)));
    const sorted = lost.map((units, index) => dense[index]! - units).toSorted((a, b) => a - b);
    const [least = 0, most = 0] = [sorted[0], sorted.at(-1)];
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    return [
      `| ${KIND_NAMES[kind]} | ${[...new Set([Math.min(...dense), Math.max(...dense)])].join(" to ")} | ${least === most ? `${least} in every layer` : `${least} to ${most}, median ${median}`} |`,
    ];
  });
  const tokens =
    plan.vocabulary === undefined
      ? []
      : [
          `Of ${count(plan.vocabulary.size)} tokens ${count(plan.vocabulary.size - plan.vocabulary.removed.length)} stay, numbered anew: those that are hardly ever ` +
            "written in any of these dimensions went. A text of tokens that stay is cut as before; any other is written in smaller pieces.",
        ];
  const dropped = droppedLayers(plan);
  const texts =
    dropped.length === 0
      ? tokens
      : [
          `Of ${plan.layers.length} layers ${layers.length} stay, numbered anew. Gone are, by their numbers from 0: ${dropped.join(", ")}.`,
          ...tokens,
        ];
  if (rows.length === 0) return texts.length > 0 ? texts.join("\n\n") : "Nothing was removed.";
  return [
    ...texts.flatMap((text) => [text, ""]),
    `| per layer, of ${layers.length} | before | ${plan.layout === "masked" ? "not zeroed" : "after"} |`,
    "| --- | --- | --- |",
    ...rows,
  ].join("\n");
}

function howChosen(plan: PrunePlan): string {
  const weights = Object.entries(plan.weights).map(([dimension, weight]) => `${dimension} ${weight}`);
  const overlap = Object.entries(plan.overlap).map(([pair, share]) => `${pair} ${share.toFixed(2)}`);
  return [
    `Relevance over documents: \`${inline(plan.aggregate)}\`. Weights: ${weights.join(", ")}. Granularity: ${plan.granularity}. Layout: ${plan.layout}.`,
    ...(overlap.length > 0 ? [`Overlap of the dimensions' irrelevant units (Jaccard): ${overlap.join(", ")}.`] : []),
  ].join(" ");
}

/** Where the rule comes from. Plans may name one that is none. */
function source({ method }: PrunePlan): string {
  const name = METHOD_NAMES.find((candidate) => candidate === method) ?? "cusprun";
  if (name !== "cusprun" && name !== "cusprun-paper")
    return `The rule that chose is \`${name}\`: ${METHODS[name].summary}. Source: ${METHODS[name].source}.`;
  return "The method is Cus-Prun: [Pruning General Large Language Models into Customized Expert Models](https://arxiv.org/abs/2506.02561), Findings of ACL 2025.";
}

function howRepaired(repair: RepairSummary | null): string {
  if (repair === null) return "The weights that stayed are the base model's own.";
  return (
    `Repair: layer by layer, the matrices that read from and write to the residual stream were fitted anew in closed form, by ridge regression towards ` +
    `the base model's stream, on ${repair.documents} documents; ${repair.fitted} of ${repair.tried} fits helped on documents held back and were kept.`
  );
}

function corpusTable(corpora: readonly CardCorpus[], { vocabulary }: PrunePlan): string {
  const figure = vocabulary === undefined ? "perplexity" : "bits per byte";
  const digits = vocabulary === undefined ? 2 : 3;
  const rows = corpora.map(({ dimension, label, sources, calibrationDocuments, heldOutDocuments, quality }) =>
    [
      dimension,
      inline(label),
      sources.map(inline).join("; ") || "not named",
      String(calibrationDocuments ?? "not recorded"),
      String(heldOutDocuments ?? "not recorded"),
      quality?.before.toFixed(digits) ?? "not measured",
      quality?.after.toFixed(digits) ?? "not measured",
    ].join(" | "),
  );
  return [
    `| dimension | corpus | sources | documents to choose | documents to judge | ${figure} before | ${figure} after |`,
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => `| ${row} |`),
    "",
    `${vocabulary === undefined ? "Perplexity is per token" : "Bits per byte are of UTF-8 text"}, on documents of the same sources that chose nothing.`,
  ].join("\n");
}

function limitations(input: ModelCardInput, plan: PrunePlan, output: CardOutput): string {
  const points = [
    `What the base model knew outside of ${input.corpora.map(({ label }) => inline(label)).join(", ")} is partly lost; how much was not measured here.`,
    "Pruning also changes refusals, biases and facts. Judge the expert on your own task before you rely on it.",
    "The base model's licence and terms of use apply.",
  ];
  if (plan.layout === "masked")
    points.push("Its layout is `masked`: removed units are zeros, so it is neither smaller nor faster than the base model.");
  points.push(...output.parts.flatMap((part) => part.limitations));
  if (output.config.family !== input.denseConfig.family) {
    points.push(
      `Its config.json says \`${output.config.family}\` instead of \`${input.denseConfig.family}\`: the stock ${input.denseConfig.family} class refuses ` +
        `${output.config.layerSizes[0]?.numAttentionHeads} query heads on a hidden size of ${output.config.hiddenSize}; both compute the same.`,
    );
  }
  return points.map((point) => `- ${point}`).join("\n");
}

/** A user's text inside a line or table cell: no line breaks, and nothing that Markdown or HTML would act upon. */
function inline(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/[|`<>[\]\\*]/g, "")
    .trim();
}

/** Last part of the base model's name, so that no path of the machine is told. */
function baseName(input: ModelCardInput): string {
  return inline(input.baseModelId ?? input.baseModelName.split(/[\\/]/).findLast((part) => part !== "") ?? "the base model");
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)}%`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
