/**
 * @file The options of a selection, and the defaults that depend on several of them.
 */

import type { Dimension } from "../corpora/corpus.ts";
import type { BlockRole } from "../families/roles.ts";
import type { MatrixKind, UnitKind } from "../model/units.ts";
import type { JobOptions } from "../progress.ts";
import type { FloatDType } from "../tensor.ts";
import { parseBudget } from "./budget.ts";
import type { MeasuredTrial } from "./damage.ts";
import type { Allocation, Granularity, Layout } from "./plan.ts";
import type { VocabularyChoice } from "./select-vocabulary.ts";

/** What is selected, and how. */
export interface SelectionOptions extends JobOptions {
  /** The expert's dimensions: at least one, each scored. */
  readonly dimensions: readonly Dimension[];
  /** How much is removed; see `parseBudget`. */
  readonly budget: string | number;
  readonly layout: Layout;
  /** Name of the rule that made the relevances, for the plan. Default `cusprun`. */
  readonly method?: string;
  /** Default `structural`. `matrix` is masked only. */
  readonly granularity?: Granularity;
  /** Structural units that may be removed; default `["ffn"]`. */
  readonly kinds?: readonly UnitKind[];
  /**
   * `granularity: matrix`: matrices whose rows or columns may be removed; default all that the family and the scores
   * allow.
   */
  readonly matrices?: readonly MatrixKind[];
  /**
   * `mean` (root mean square over documents), `max` or `quantile:Q`. Default `mean`, for `matrix` the paper's `max`.
   */
  readonly aggregate?: string;
  /** Weight per dimension, default 1: 2 makes the dimension protect twice as many units, 0 ignores it. */
  readonly weights?: Readonly<Partial<Record<Dimension, number>>>;
  /**
   * How the cut is shared between layers. `uniform`: always `layer`. `masked`: default `layer`. `ragged`: default
   * `damage` if there are trials, otherwise `global`. `granularity: matrix`: default `global`, the paper's one
   * threshold over all layers.
   */
  readonly allocation?: Allocation;
  /**
   * Share of its units that each layer keeps at least, in [0, 1]. Default 0.3, for `matrix` 0 (the paper has no floor).
   */
  readonly floor?: number;
  /**
   * `uniform`, `ragged`: FFN widths are multiples of this. Default 32, the block size of GGUF's simple quantisations.
   */
  readonly snap?: number;
  /**
   * How much of the vocabulary is kept. By default, tokens that are hardly ever written are removed, if tokens were
   * scored and the budget is not one of the blocks.
   */
  readonly vocabulary?: VocabularyChoice;
  /** Dtype of the written weights, for budgets in bytes. Default BF16. */
  readonly dtype?: FloatDType;
  /**
   * The damage that trial cuts of single layers did to the model, from which allocation `damage` learns (see
   * damage.ts). `pending`: they will be measured; until then units count by their energy (relevance²), as in allocation
   * `global`. Default: no trials.
   */
  readonly trials?: readonly MeasuredTrial[] | "pending";
  /** The family's optional block tensors that the checkpoint has (biases); default none. */
  readonly optionalRoles?: readonly BlockRole[];
  /** Whether the checkpoint holds an output head although the config ties it. Default false. */
  readonly separateHead?: boolean;
}

/** The options that decide whether tokens may be removed. An absent one is not decided yet and forbids nothing. */
export type TrimmingOptions = Partial<Pick<SelectionOptions, "budget" | "layout" | "granularity" | "vocabulary">>;

/**
 * Whether tokens may be removed: if the user chose a smaller vocabulary; otherwise unless the user keeps it, the layout
 * or the granularity keeps all sizes, or the budget counts the blocks alone.
 * @throws CusprunError `BUDGET_INVALID`.
 */
export function mayTrim({ budget, layout, granularity, vocabulary }: TrimmingOptions): boolean {
  if (vocabulary !== undefined) return vocabulary !== "keep";
  return layout !== "masked" && granularity !== "matrix" && !(budget !== undefined && isOfBlocks(budget));
}

function isOfBlocks(written: string | number): boolean {
  const budget = parseBudget(written);
  return budget.kind === "share" && budget.of === "blocks";
}

/**
 * The allocation if none is given. The paper has one threshold over all layers; if layers may differ in size, those to
 * which the model is least sensitive lose most, provided that trials measure this sensitivity.
 * @param hasTrials whether trials were measured, or will be.
 */
export function defaultAllocation(
  { granularity, layout }: Pick<SelectionOptions, "granularity" | "layout">,
  hasTrials: boolean,
): Allocation {
  if (granularity === "matrix") return "global";
  if (layout !== "ragged") return "layer";
  return hasTrials ? "damage" : "global";
}
