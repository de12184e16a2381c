/**
 * @file Whether a selection's options are valid, agree with each other and with what was scored: options → checked
 * options, before a relevance is read.
 */

import { uniformLayerSizes } from "../checkpoint/config/model-config.ts";
import { DIMENSIONS } from "../corpora/corpus.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import { normsQueries } from "../families/index.ts";
import { MATRIX_KINDS } from "../model/units.ts";
import type { MatrixKind } from "../model/units.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { parseAggregate } from "./aggregate.ts";
import { parseBudget } from "./budget.ts";
import type { Budget } from "./budget.ts";
import { relevanceKindOf, SIZED_KINDS } from "./plan.ts";
import type { Allocation, CutKind, Granularity, Layout } from "./plan.ts";
import { defaultAllocation } from "./selection-options.ts";
import type { SelectionOptions } from "./selection-options.ts";

/** Options that are valid for these scores, with every default filled in. */
export interface CheckedSelection {
  readonly layout: Layout;
  readonly granularity: Granularity;
  readonly budget: Budget;
  readonly kinds: readonly CutKind[];
  /** Chosen dimensions with a weight above 0, in the fixed order, and their weights. */
  readonly dimensions: readonly Dimension[];
  readonly weights: readonly number[];
  /** As the user writes it; see `parseAggregate`. */
  readonly aggregate: string;
  readonly allocation: Allocation;
  readonly floor: number;
  readonly snap: number;
}

const DEFAULT_FLOOR = 0.3;
const DEFAULT_SNAP = 32;

/** Why the rows of q and k are no units in these families. */
const NORMED_ROWS = "normalises queries and keys over a head, so that a zeroed row changes every other";

/**
 * Checks the options of a selection.
 * @throws CusprunError `SELECTION_INVALID`, `BUDGET_INVALID`, `LAYOUT_UNSUPPORTED`, `SCORES_LACK`.
 */
export function checkSelection(scores: RelevanceScores, options: SelectionOptions): CheckedSelection {
  const { layout, granularity = "structural" } = options;
  const matrix = granularity === "matrix";
  const budget = parseBudget(options.budget);
  const aggregate = options.aggregate ?? (matrix ? "max" : "mean");
  parseAggregate(aggregate);
  const kinds = matrix ? matrixKinds(scores, options) : structuralKinds(scores, options);
  const { dimensions, weights } = weightedDimensions(scores, options);
  const allocation = options.allocation ?? defaultAllocation(options, options.trials !== undefined);
  checkLayout(scores, options);
  checkAllocation(allocation, options);
  const floor = options.floor ?? (matrix ? 0 : DEFAULT_FLOOR);
  if (!(floor >= 0 && floor <= 1)) {
    throw invalid("floor", floor, "a share from 0 to 1", "Choose the share of units that each layer keeps at least, e.g. 0.3");
  }
  const snap = options.snap ?? DEFAULT_SNAP;
  if (!Number.isInteger(snap) || snap < 1) {
    throw invalid("snap", snap, "a whole number from 1", "Choose the number that FFN widths are multiples of, e.g. 32");
  }
  return { layout, granularity, budget, kinds, dimensions, weights, aggregate, allocation, floor, snap };
}

/** Refuses what the layout cannot hold, whichever units are chosen. */
function checkLayout({ config }: RelevanceScores, { layout, granularity, vocabulary }: SelectionOptions): void {
  if (layout !== "masked" && granularity === "matrix") {
    throw unsupported("granularity matrix", "granularity structural: no runtime holds a matrix that lacks single rows");
  }
  if (layout === "uniform" && uniformLayerSizes(config) === null) {
    throw unsupported("a model whose layers differ in size", "layout ragged or masked", "Choose --layout ragged");
  }
  if (layout === "masked" && vocabulary !== undefined && vocabulary !== "keep") {
    throw unsupported("a smaller vocabulary", "layout uniform: a masked model keeps its sizes", "Choose --layout uniform");
  }
}

/** Refuses an allocation that the layout, the granularity or the lack of trials rules out. */
function checkAllocation(allocation: Allocation, { layout, granularity, trials }: SelectionOptions): void {
  const matrix = granularity === "matrix";
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
  if (matrix && allocation === "layer")
    throw invalid("allocation", "layer", "global: the paper's threshold is one over all layers", "Leave the allocation out");
  if (allocation === "damage" && (matrix || trials === undefined)) {
    throw invalid(
      "allocation",
      "damage",
      matrix ? "global: trials cut structural units" : "global: no trials were made",
      "Use 'cusprun prune', which tries every layer, or leave the allocation out",
    );
  }
}

function structuralKinds(scores: RelevanceScores, options: SelectionOptions): readonly CutKind[] {
  const kinds = [...new Set(options.kinds ?? ["ffn" as const])];
  if (kinds.length === 0) throw invalid("kinds", "none", "at least one kind of unit", "Choose e.g. ffn");
  for (const kind of kinds) {
    if (scores.kinds.includes(kind)) continue;
    const remedy = `Score again with ${kind} among the kinds, or leave it out`;
    throw lacking(`no relevances of ${kind}`, scores.kinds.join(", "), remedy);
  }
  if (kinds.includes("layer")) {
    if (kinds.length > 1) throw unsupported(`kind ${kinds.join(", ")}`, "layer alone, or other kinds", "Leave layer out");
    if (options.layout !== "uniform")
      throw unsupported(
        `kind layer in layout ${options.layout}`,
        "layout uniform: whole layers are removed, and the others keep their sizes",
        "Choose --layout uniform",
      );
    return kinds;
  }
  const maskedOnly = kinds.filter((kind) => !SIZED_KINDS.includes(kind));
  if (options.layout !== "masked" && maskedOnly.length > 0) {
    throw unsupported(
      `kind ${maskedOnly.join(", ")}`,
      `${SIZED_KINDS.join(", ")}: no stock runtime holds a layer that lacks single value dimensions or rotary pairs`,
    );
  }
  const { layerSizes, family } = scores.config;
  const groupsOfOne = layerSizes.every(({ numAttentionHeads: H, numKeyValueHeads: G }) => H === G);
  if (options.layout !== "masked" && kinds.includes("head") && groupsOfOne) {
    throw unsupported(
      "kind head",
      "kv-group: each query head of this model has keys and values of its own, which are removed with it",
      "Choose kv-group instead of head",
    );
  }
  if (kinds.includes("rotary-pair") && normsQueries(family)) {
    throw unsupported("kind rotary-pair", `other kinds: ${family} ${NORMED_ROWS}`, "Leave rotary-pair out");
  }
  return kinds;
}

function matrixKinds(scores: RelevanceScores, options: SelectionOptions): readonly CutKind[] {
  const { family } = scores.config;
  const normed: readonly MatrixKind[] = normsQueries(family) ? ["q", "k"] : [];
  const cutKind = (matrix: MatrixKind): CutKind => `matrix:${matrix}`;
  const scored = MATRIX_KINDS.filter((matrix) => scores.kinds.includes(relevanceKindOf(cutKind(matrix))));
  const chosen = [...new Set(options.matrices ?? scored.filter((matrix) => !normed.includes(matrix)))];
  const refused = chosen.filter((matrix) => normed.includes(matrix));
  if (refused.length > 0) {
    throw unsupported(
      `rows of ${refused.join(", ")}`,
      `other matrices: ${family} ${NORMED_ROWS}`,
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

function weightedDimensions(
  scores: RelevanceScores,
  options: SelectionOptions,
): { readonly dimensions: readonly Dimension[]; readonly weights: readonly number[] } {
  const scored = DIMENSIONS.filter((dimension) => scores.documents.some((document) => document.dimensions.includes(dimension)));
  const chosen = DIMENSIONS.filter((dimension) => options.dimensions.includes(dimension));
  for (const dimension of chosen) {
    if (scored.includes(dimension)) continue;
    const remedy = `Score again with a ${dimension} corpus, or leave the dimension out`;
    throw lacking(`no documents of dimension ${dimension}`, scored.join(", "), remedy);
  }
  for (const [dimension, weight] of Object.entries(options.weights ?? {})) {
    const where = `weight of ${dimension}`;
    if (!Number.isFinite(weight) || weight < 0)
      throw invalid(where, weight, "a number from 0", "Choose e.g. 1, or 0 to ignore the dimension");
    if (!chosen.includes(dimension as Dimension)) {
      const expected = `a chosen dimension (${chosen.join(", ")})`;
      throw invalid(where, weight, expected, "Choose the dimension too, or leave its weight out");
    }
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
  const expected = `a choice from what was scored (${scored})`;
  return new CusprunError("SCORES_LACK", { where: "scores", found, expected, remedy });
}

function unsupported(found: string, expected: string, remedy = "Choose one of these, or --layout masked"): CusprunError {
  return new CusprunError("LAYOUT_UNSUPPORTED", { where: "selection", found, expected, remedy });
}
