/**
 * @file The model card (README.md) of an expert: what was removed, on which corpora, and how the quality changed. All
 * numbers come from the plan or from measurements. Front matter: the Hugging Face hub's model card metadata.
 */

import { stringify } from "yaml";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { METHOD_NAMES, METHODS } from "../selection/methods/index.ts";
import type { PrunePlan } from "../selection/plan.ts";
import type { RepairSummary } from "../surgery/repair.ts";
import { inline } from "./card-format.ts";
import { droppedLayers, sizeTable, unitTable } from "./card-removed.ts";

/** A corpus in the card. */
export interface CardCorpus {
  readonly dimension: Dimension;
  /** The user's name for it. */
  readonly label: string;
  /** Sources of its documents: names that are meaningful to other readers, not paths. */
  readonly sources: readonly string[];
  /** Number of documents; null if the expert was made from a plan, which does not record them. */
  readonly calibrationDocuments: number | null;
  readonly heldOutDocuments: number | null;
  /**
   * Perplexity per token on held-out documents, or bits per byte if the vocabulary was trimmed; null if not measured.
   */
  readonly quality: { readonly before: number; readonly after: number } | null;
}

/** Information for the card that is neither in the plan nor in the expert. */
export interface ModelCardInput {
  /** Name of the expert, used as the title. */
  readonly title: string;
  /** Name of the base model. Only the last part of a path is shown. */
  readonly baseModelName: string;
  /** The base model's id on the Hugging Face hub, `owner/name`, or null if unknown. */
  readonly baseModelId: string | null;
  /** The base model's licence identifier, or null if unknown. */
  readonly license: string | null;
  /** ISO 639-1 codes of the languages; empty if unknown. */
  readonly languages: readonly string[];
  /** In the order language, domain, task. */
  readonly corpora: readonly CardCorpus[];
  /** Config of the dense model. */
  readonly denseConfig: ModelConfig;
  /** Summary of the repair; null if the expert was not repaired. */
  readonly repair: RepairSummary | null;
  /** Version of cusprun. */
  readonly version: string;
}

/** The output in one format. */
export interface WrittenPart {
  /** Names of the files, in the order of writing. */
  readonly files: readonly string[];
  /** Label of the weights for a table, e.g. `weights in BF16`. */
  readonly label: string;
  /** Bytes of the dense model's weights in the same form (null if it was not in this form) and of the expert's. */
  readonly bytes: { readonly before: number | null; readonly after: number };
  /** The hub's name of the library that loads it. */
  readonly library: "transformers" | "gguf" | "transformers.js";
  /** Markdown of the card's section on loading. */
  readonly howToLoad: string;
  /** Additional entries for the card's limitations. */
  readonly limitations: readonly string[];
}

/** The output that the card describes. */
export interface CardOutput {
  readonly config: ModelConfig;
  readonly parts: readonly WrittenPart[];
}

/** Text of the model card: Markdown with YAML front matter. */
export function modelCard(input: ModelCardInput, plan: PrunePlan, output: CardOutput): string {
  const sections = [
    frontMatter(input, output),
    `# ${inline(input.title)}`,
    introduction(input, plan),
    "## What was removed",
    sizeTable(plan, output.parts),
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
    `${source(plan)} Made with cusprun ${inline(input.version)}; \`cusprun-plan.json\` lists all removed units.`,
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
  const done = plan.layout === "masked" ? "zeroed" : "removed";
  const dropped = droppedLayers(plan);
  const what =
    dropped.length > 0
      ? `${dropped.length} of its ${plan.layers.length} decoder layers`
      : `Units that are irrelevant in ${input.corpora.length === 1 ? "this dimension" : "all of these dimensions"}`;
  const verb = dropped.length === 1 ? "was" : "were";
  return `${base}, pruned to an expert in ${place}. ${what} ${verb} ${done}. There was no training.`;
}

function howChosen(plan: PrunePlan): string {
  const weights = Object.entries(plan.weights).map(([dimension, weight]) => `${dimension} ${weight}`);
  const overlap = Object.entries(plan.overlap).map(([pair, share]) => `${pair} ${share.toFixed(2)}`);
  return [
    `Aggregation of relevance over documents: \`${inline(plan.aggregate)}\`.`,
    `Weights: ${weights.join(", ")}. Granularity: ${plan.granularity}. Layout: ${plan.layout}.`,
    ...(overlap.length > 0 ? [`Overlap of the dimensions' irrelevant units (Jaccard): ${overlap.join(", ")}.`] : []),
  ].join(" ");
}

/** The source of the method. A plan may name an unknown method. */
function source({ method }: PrunePlan): string {
  const name = METHOD_NAMES.find((candidate) => candidate === method) ?? "cusprun";
  if (name !== "cusprun" && name !== "cusprun-paper")
    return `The pruning method is \`${name}\`: ${METHODS[name].summary}. Source: ${METHODS[name].source}.`;
  return (
    "The pruning method is Cus-Prun: [Pruning General Large Language Models into Customized Expert Models]" +
    "(https://arxiv.org/abs/2506.02561), Findings of ACL 2025."
  );
}

function howRepaired(repair: RepairSummary | null): string {
  if (repair === null) return "The remaining weights are those of the base model.";
  return (
    "Repair: layer by layer, the matrices that read from and write to the residual stream were refitted in closed form to " +
    `the base model's stream, by ridge regression on ${repair.documents} documents; ${repair.fitted} of ${repair.tried} fits ` +
    "reduced the error on held-back documents and were kept."
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
    `| dimension | corpus | sources | calibration documents | held-out documents | ${figure} before | ${figure} after |`,
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => `| ${row} |`),
    "",
    `${vocabulary === undefined ? "Perplexity is per token" : "Bits per byte refer to UTF-8 text"}, measured on ` +
      "held-out documents of the same sources, which were not used for pruning or repair.",
  ].join("\n");
}

function limitations(input: ModelCardInput, plan: PrunePlan, output: CardOutput): string {
  const points = [
    `Abilities of the base model outside ${input.corpora.map(({ label }) => inline(label)).join(", ")} are partly lost; ` +
      "how much was not measured here.",
    "Pruning also changes refusals, biases and factual knowledge. Evaluate the expert on your own task before relying on it.",
    "The base model's licence and terms of use apply.",
  ];
  if (plan.layout === "masked")
    points.push("Its layout is `masked`: removed units are zeroed, so it is neither smaller nor faster than the base model.");
  points.push(...output.parts.flatMap((part) => part.limitations));
  if (output.config.family !== input.denseConfig.family) {
    const { family, layerSizes, hiddenSize } = output.config;
    const { family: dense } = input.denseConfig;
    points.push(
      `Its config.json says \`${family}\` instead of \`${dense}\`: the stock ${dense} class rejects ` +
        `${layerSizes[0]?.numAttentionHeads} query heads with a hidden size of ${hiddenSize}; both compute the same.`,
    );
  }
  return points.map((point) => `- ${point}`).join("\n");
}

/** The last part of the base model's name, so that no local path is revealed. */
function baseName(input: ModelCardInput): string {
  return inline(input.baseModelId ?? input.baseModelName.split(/[\\/]/).findLast((part) => part !== "") ?? "the base model");
}
