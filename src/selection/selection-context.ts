/**
 * @file What every way of selecting starts from: checked options, the budget in parameters, and each unit's relevance per dimension.
 */

import type { BlockRole } from "../families/roles.ts";
import { normsQueries } from "../families/index.ts";
import { uniformLayerSizes } from "../checkpoint/config/model-config.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { countParameters } from "../checkpoint/parameters.ts";
import { DIMENSIONS } from "../corpora/corpus.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import { pause } from "../progress.ts";
import type { JobOptions } from "../progress.ts";
import { MATRIX_KINDS } from "../model/units.ts";
import type { MatrixKind, UnitKind } from "../model/units.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { FLOAT_DTYPE_BYTES } from "../tensor.ts";
import type { FloatDType } from "../tensor.ts";
import { aggregateRelevance, parseAggregate } from "./aggregate.ts";
import { parametersToRemove, parseBudget } from "./budget.ts";
import { unitDamage, type MeasuredTrial } from "./damage.ts";
import { relevanceKindOf, SIZED_KINDS } from "./plan.ts";
import type { Allocation, CutKind, Granularity, Layout, VocabularyCut } from "./plan.ts";
import { selectVocabulary, type VocabularyChoice } from "./select-vocabulary.ts";
import { blockCosts } from "./unit-parameters.ts";
import type { BlockCosts } from "./unit-parameters.ts";

/** What is to be selected, and how. */
export interface SelectionOptions extends JobOptions {
  /** The expert's dimensions: at least one, each scored. */
  readonly dimensions: readonly Dimension[];
  /** How much goes; see `parseBudget`. */
  readonly budget: string | number;
  readonly layout: Layout;
  /** Name of the rule that made the relevances, for the plan. Default `cusprun`. */
  readonly method?: string;
  /** Default `structural`. `matrix` is masked only. */
  readonly granularity?: Granularity;
  /** Structural units that may go; default `["ffn"]`. */
  readonly kinds?: readonly UnitKind[];
  /** `granularity: matrix`: matrices whose rows or columns may go; default all that the family and the scores allow. */
  readonly matrices?: readonly MatrixKind[];
  /** `mean` (root mean square over documents), `max` or `quantile:Q`. Default `mean`, for `matrix` the paper's `max`. */
  readonly aggregate?: string;
  /** Weight per dimension, default 1: 2 makes the dimension protect twice as many units, 0 ignores it. */
  readonly weights?: Readonly<Partial<Record<Dimension, number>>>;
  /** Default `layer`, the only one for `uniform`. `ragged` and `matrix` are always global: one threshold over all layers. */
  readonly allocation?: Allocation;
  /** Share of its units that each layer keeps at least, in [0, 1]. Default 0.3, for `matrix` 0 (the paper has none). */
  readonly floor?: number;
  /** `uniform`, `ragged`: FFN widths are multiples of this. Default 32, the block of GGUF's simple quantisations. */
  readonly snap?: number;
  /** How much of the vocabulary stays; default: what is hardly ever written goes, where tokens were scored and the budget is not one of the blocks. */
  readonly vocabulary?: VocabularyChoice;
  /** Dtype that is written, for budgets in bytes. Default BF16. */
  readonly dtype?: FloatDType;
  /** What trial cuts of single layers did to the model (see damage.ts): how the cut is shared between layers and kinds. Default none. */
  readonly trials?: readonly MeasuredTrial[];
  /** The family's optional block tensors that the checkpoint has (biases); default none. */
  readonly optionalRoles?: readonly BlockRole[];
  /** Whether the checkpoint holds an output head although the config ties it. Default false. */
  readonly separateHead?: boolean;
}

/** Relevances of one layer: per kind and dimension, [U]. */
export type LayerRelevance = ReadonlyMap<CutKind, readonly Float64Array[]>;

/** Checked options and what was read for them. */
export interface SelectionContext {
  readonly config: ModelConfig;
  readonly layout: Layout;
  readonly granularity: Granularity;
  readonly kinds: readonly CutKind[];
  /** Chosen dimensions with a weight above 0, in the fixed order, and their weights. */
  readonly dimensions: readonly Dimension[];
  readonly weights: readonly number[];
  readonly aggregate: string;
  readonly allocation: Allocation;
  readonly floor: number;
  readonly snap: number;
  readonly optionalRoles: readonly BlockRole[];
  /** One per layer, as `relevance`. */
  readonly costs: readonly BlockCosts[];
  /** `requested`: what the units are to free, the tokens that go not counted. */
  readonly parameters: { readonly total: number; readonly blocks: number; readonly requested: number };
  /** Tokens that go and the parameters that they free; null where every token stays. */
  readonly vocabulary: { readonly cut: VocabularyCut; readonly parameters: number } | null;
  /** One per layer. */
  readonly relevance: readonly LayerRelevance[];
  /** One per layer: expected damage of every unit where there are trials, energies (relevance²) where there are none. */
  readonly damage: readonly LayerRelevance[];
}

const DEFAULT_FLOOR = 0.3;
const DEFAULT_SNAP = 32;

/**
 * Checks the options and reads the relevances.
 * @throws CusprunError `SELECTION_INVALID`, `BUDGET_INVALID`, `BUDGET_UNREACHABLE`, `LAYOUT_UNSUPPORTED`, `SCORES_LACK`.
 */
export async function openSelection(scores: RelevanceScores, options: SelectionOptions): Promise<SelectionContext> {
  const { config } = scores;
  const { layout, granularity = "structural" } = options;
  const matrix = granularity === "matrix";
  const budget = parseBudget(options.budget);
  const aggregate = options.aggregate ?? (matrix ? "max" : "mean");
  parseAggregate(aggregate);
  const kinds = matrix ? matrixKinds(scores, options) : structuralKinds(scores, options);
  const { dimensions, weights } = weightedDimensions(scores, options);
  const allocation = options.allocation ?? defaultAllocation(options, options.trials !== undefined);
  if (layout !== "masked" && matrix) {
    throw unsupported("granularity matrix", "granularity structural: no runtime holds a matrix without single rows of its own");
  }
  if (layout === "uniform" && allocation !== "layer") {
    throw unsupported(
      `${allocation} allocation`,
      "allocation layer: in a uniform layout every layer has the same sizes",
      "Choose --layout ragged, or leave the allocation out",
    );
  }
  if (layout === "ragged" && allocation === "layer") {
    throw unsupported(
      "allocation layer",
      "allocation global: with the same share from every layer all have the same sizes",
      "Choose --layout uniform, or leave the allocation out",
    );
  }
  if (layout === "uniform" && uniformLayerSizes(config) === null) {
    throw unsupported("a model whose layers differ in size", "layout ragged or masked", "Choose --layout ragged");
  }
  if (matrix && allocation === "layer")
    throw invalid("allocation", "layer", "global: the paper's threshold is one over all layers", "Leave the allocation out");
  if (allocation === "damage" && (matrix || options.trials === undefined)) {
    throw invalid(
      "allocation",
      "damage",
      matrix ? "global: trials cut structural units" : "global: no trials were made",
      "Use 'cusprun prune', which tries every layer, or leave the allocation out",
    );
  }
  const floor = options.floor ?? (matrix ? 0 : DEFAULT_FLOOR);
  if (!(floor >= 0 && floor <= 1))
    throw invalid("floor", floor, "a share from 0 to 1", "Choose the share of units that each layer keeps at least, e.g. 0.3");
  const snap = options.snap ?? DEFAULT_SNAP;
  if (!Number.isInteger(snap) || snap < 1)
    throw invalid("snap", snap, "a whole number from 1", "Choose what FFN widths are a multiple of, e.g. 32");

  const optionalRoles = options.optionalRoles ?? [];
  const counts = countParameters(config, { optionalRoles, separateHead: options.separateHead ?? false });
  const { total, blocks } = counts;
  const requested = parametersToRemove(budget, { total, blocks, bytesPerParameter: FLOAT_DTYPE_BYTES[options.dtype ?? "BF16"] });
  const ofBlocks = budget.kind === "share" && budget.of === "blocks";
  const mayTrim = layout !== "masked" && !ofBlocks;
  if (layout === "masked" && options.vocabulary !== undefined && options.vocabulary !== "keep") {
    throw unsupported("a smaller vocabulary", "layout uniform: a masked model keeps its sizes", "Choose --layout uniform");
  }
  const rowParameters = (counts.embedding + counts.head) / config.vocabSize;
  const cut = selectVocabulary(
    await scores.readVocabulary(),
    options.vocabulary ?? (mayTrim ? undefined : "keep"),
    new Map(dimensions.map((dimension, index) => [dimension, weights[index]!])),
    rowParameters,
    requested,
  );
  const vocabulary = cut === null ? null : { cut, parameters: cut.removed.length * rowParameters };
  const relevance = await readRelevance(scores, kinds, dimensions, aggregate, !matrix, options);
  return {
    config,
    layout,
    granularity,
    kinds,
    dimensions,
    weights,
    aggregate,
    allocation,
    floor,
    snap,
    optionalRoles,
    costs: config.layerSizes.map((_, layer) => blockCosts(config, layer, optionalRoles)),
    parameters: { total, blocks, requested: Math.max(0, requested - (ofBlocks ? 0 : (vocabulary?.parameters ?? 0))) },
    vocabulary,
    relevance,
    damage: relevance.map((kindValues, layer) =>
      layerDamage(kindValues, layer, dimensions, allocation === "damage" ? (options.trials ?? []) : []),
    ),
  };
}

function layerDamage(
  relevance: LayerRelevance,
  layer: number,
  dimensions: readonly Dimension[],
  trials: readonly MeasuredTrial[],
): LayerRelevance {
  const trialOf = (kind: CutKind): MeasuredTrial | undefined =>
    trials.find((trial) => trial.layer === layer && trial.kind === kind);
  return new Map([...relevance].map(([kind, values]) => [kind, unitDamage(values, dimensions, trialOf(kind))]));
}

/** The paper has one threshold over all layers; where layers may differ, what the model minds decides as far as that was measured. */
export function defaultAllocation(
  { granularity, layout }: Pick<SelectionOptions, "granularity" | "layout">,
  measured: boolean,
): Allocation {
  if (granularity === "matrix") return "global";
  if (layout !== "ragged") return "layer";
  return measured ? "damage" : "global";
}

/** Aggregated relevance of every unit, one read per layer and scored kind. */
async function readRelevance(
  scores: RelevanceScores,
  kinds: readonly CutKind[],
  dimensions: readonly Dimension[],
  aggregate: string,
  asShare: boolean,
  job: JobOptions,
): Promise<LayerRelevance[]> {
  const rule = parseAggregate(aggregate);
  const documents = dimensions.map((dimension) =>
    scores.documents.flatMap((document, i) => (document.dimensions.includes(dimension) ? [i] : [])),
  );
  const layers: LayerRelevance[] = [];
  for (let layer = 0; layer < scores.config.numHiddenLayers; layer++) {
    const bySource = new Map<string, readonly Float64Array[]>();
    const byKind = new Map<CutKind, readonly Float64Array[]>();
    for (const kind of kinds) {
      const source = relevanceKindOf(kind);
      let values = bySource.get(source);
      if (values === undefined) {
        const relevance = await scores.read(layer, source);
        const reference = asShare ? await scores.readReference(layer, source) : null;
        const unitCount = relevance.length / scores.documents.length;
        values = documents.map((chosen) => aggregateRelevance(relevance, reference, chosen, unitCount, rule));
        if (values.some((perUnit) => !perUnit.every(Number.isFinite))) {
          throw new CusprunError("SCORES_LACK", {
            where: `scores: layer ${layer}, ${source}`,
            found: "a relevance that is no finite number",
            expected: "finite relevances",
            remedy: "Score again; if it comes back, the model overflows on one of the documents",
          });
        }
        bySource.set(source, values);
      }
      byKind.set(kind, values);
    }
    layers.push(byKind);
    job.onProgress?.({ stage: "selecting", done: layer + 1, total: scores.config.numHiddenLayers, unit: "layers" });
    await pause(job.signal);
  }
  return layers;
}

function structuralKinds(scores: RelevanceScores, options: SelectionOptions): readonly CutKind[] {
  const kinds = [...new Set(options.kinds ?? ["ffn" as const])];
  if (kinds.length === 0) throw invalid("kinds", "none", "at least one kind of unit", "Choose e.g. ffn");
  for (const kind of kinds) {
    if (!scores.kinds.includes(kind))
      throw lacking(
        `no relevances of ${kind}`,
        scores.kinds.join(", "),
        `Score again with ${kind} among the kinds, or leave it out`,
      );
  }
  if (kinds.includes("layer")) {
    if (kinds.length > 1) throw unsupported(`kind ${kinds.join(", ")}`, "layer alone, or other kinds", "Leave layer out");
    if (options.layout !== "uniform")
      throw unsupported(
        `kind layer in layout ${options.layout}`,
        "layout uniform: whole layers go, and those that stay keep their sizes",
        "Choose --layout uniform",
      );
    return kinds;
  }
  const masked = kinds.filter((kind) => !SIZED_KINDS.includes(kind));
  if (options.layout !== "masked" && masked.length > 0) {
    throw unsupported(
      `kind ${masked.join(", ")}`,
      `${SIZED_KINDS.join(", ")}: no stock runtime holds a layer without single value dimensions or rotary pairs`,
    );
  }
  const { layerSizes, family } = scores.config;
  const groupsOfOne = layerSizes.every(({ numAttentionHeads: H, numKeyValueHeads: G }) => H === G);
  if (options.layout !== "masked" && kinds.includes("head") && groupsOfOne) {
    throw unsupported(
      "kind head",
      "kv-group: each query head of this model has keys and values of its own, and goes with them",
      "Choose kv-group in place of head",
    );
  }
  if (kinds.includes("rotary-pair") && hasQueryNorm(scores)) {
    throw unsupported(
      "kind rotary-pair",
      `other kinds: ${family} normalises queries and keys over a head, so that a zeroed row changes every other`,
      "Leave rotary-pair out",
    );
  }
  return kinds;
}

function matrixKinds(scores: RelevanceScores, options: SelectionOptions): readonly CutKind[] {
  const normed: readonly MatrixKind[] = hasQueryNorm(scores) ? ["q", "k"] : [];
  const cutKind = (matrix: MatrixKind): CutKind => `matrix:${matrix}`;
  const scored = MATRIX_KINDS.filter((matrix) => scores.kinds.includes(relevanceKindOf(cutKind(matrix))));
  const chosen = [...new Set(options.matrices ?? scored.filter((matrix) => !normed.includes(matrix)))];
  const refused = chosen.filter((matrix) => normed.includes(matrix));
  if (refused.length > 0) {
    throw unsupported(
      `rows of ${refused.join(", ")}`,
      `other matrices: ${scores.config.family} normalises queries and keys over a head, so that a zeroed row changes every other`,
      `Leave ${refused.join(" and ")} out of the matrices`,
    );
  }
  const missing = chosen.filter((matrix) => !scored.includes(matrix));
  if (missing.length > 0 || chosen.length === 0) {
    const needed = (missing.length > 0 ? missing : MATRIX_KINDS).map((matrix) => relevanceKindOf(cutKind(matrix)));
    throw lacking(
      `no relevances for ${missing.join(", ") || "any matrix"}`,
      scores.kinds.join(", "),
      `Score again with ${[...new Set(needed)].join(", ")} among the kinds`,
    );
  }
  return MATRIX_KINDS.filter((matrix) => chosen.includes(matrix)).map(cutKind);
}

function hasQueryNorm(scores: RelevanceScores): boolean {
  return normsQueries(scores.config.family);
}

function weightedDimensions(scores: RelevanceScores, options: SelectionOptions): { dimensions: Dimension[]; weights: number[] } {
  const scored = DIMENSIONS.filter((dimension) => scores.documents.some((document) => document.dimensions.includes(dimension)));
  const chosen = DIMENSIONS.filter((dimension) => options.dimensions.includes(dimension));
  for (const dimension of chosen) {
    if (!scored.includes(dimension))
      throw lacking(
        `no documents of dimension ${dimension}`,
        scored.join(", "),
        `Score again with a ${dimension} corpus, or leave the dimension out`,
      );
  }
  for (const [dimension, weight] of Object.entries(options.weights ?? {})) {
    if (!Number.isFinite(weight) || weight < 0)
      throw invalid(`weight of ${dimension}`, weight, "a number from 0", "Choose e.g. 1, or 0 to ignore the dimension");
    if (!chosen.includes(dimension as Dimension))
      throw invalid(
        `weight of ${dimension}`,
        weight,
        `a chosen dimension (${chosen.join(", ")})`,
        "Choose the dimension too, or leave its weight out",
      );
  }
  const dimensions = chosen.filter((dimension) => options.weights?.[dimension] !== 0);
  if (dimensions.length === 0)
    throw invalid(
      "dimensions",
      chosen.length === 0 ? "none" : "only weights of 0",
      "at least one dimension with a weight above 0",
      `Choose from ${scored.join(", ")}`,
    );
  return { dimensions, weights: dimensions.map((dimension) => options.weights?.[dimension] ?? 1) };
}

function invalid(where: string, found: unknown, expected: string, remedy: string): CusprunError {
  return new CusprunError("SELECTION_INVALID", { where, found: String(found), expected, remedy });
}

function lacking(found: string, scored: string, remedy: string): CusprunError {
  return new CusprunError("SCORES_LACK", {
    where: "scores",
    found,
    expected: `a choice from what was scored (${scored})`,
    remedy,
  });
}

function unsupported(found: string, expected: string, remedy = "Choose one of these, or --layout masked"): CusprunError {
  return new CusprunError("LAYOUT_UNSUPPORTED", { where: "selection", found, expected, remedy });
}
