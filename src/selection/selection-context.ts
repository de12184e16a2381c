/**
 * @file What every layout's selection starts from: checked options, the budget in parameters, the removed tokens, and
 * each unit's relevance and expected damage per dimension.
 */

import type { BlockRole } from "../families/roles.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { countParameters } from "../checkpoint/parameters.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { FLOAT_DTYPE_BYTES } from "../tensor.ts";
import { parseAggregate } from "./aggregate.ts";
import { parametersToRemove } from "./budget.ts";
import { unitDamage, type MeasuredTrial } from "./damage.ts";
import { readRelevance, type LayerRelevance } from "./layer-relevance.ts";
import type { CutKind, VocabularyCut } from "./plan.ts";
import { selectVocabulary } from "./select-vocabulary.ts";
import { checkSelection, type CheckedSelection } from "./selection-check.ts";
import { mayTrim, type SelectionOptions } from "./selection-options.ts";
import { blockCosts } from "./unit-parameters.ts";
import type { BlockCosts } from "./unit-parameters.ts";

/** Checked options, and everything that was counted and read for them. */
export interface SelectionContext extends Omit<CheckedSelection, "budget"> {
  readonly config: ModelConfig;
  readonly optionalRoles: readonly BlockRole[];
  /** One per layer, as `relevance`. */
  readonly costs: readonly BlockCosts[];
  /** `requested`: what the units are to free, without the parameters of removed tokens. */
  readonly parameters: { readonly total: number; readonly blocks: number; readonly requested: number };
  /** Removed tokens and the parameters that they free; null if every token is kept. */
  readonly vocabulary: RemovedVocabulary | null;
  /** One per layer. */
  readonly relevance: readonly LayerRelevance[];
  /** One per layer: expected damage of every unit if trials were measured, otherwise energies (relevance²). */
  readonly damage: readonly LayerRelevance[];
}

/** Tokens that are removed, and the parameters of their rows. */
export interface RemovedVocabulary {
  readonly cut: VocabularyCut;
  readonly parameters: number;
}

/**
 * Checks the options and reads the relevances.
 * @throws CusprunError `SELECTION_INVALID`, `BUDGET_INVALID`, `BUDGET_UNREACHABLE`, `LAYOUT_UNSUPPORTED`,
 *   `SCORES_LACK`.
 */
export async function openSelection(scores: RelevanceScores, options: SelectionOptions): Promise<SelectionContext> {
  const { budget, ...checked } = checkSelection(scores, options);
  const { config } = scores;
  const optionalRoles = options.optionalRoles ?? [];
  const counts = countParameters(config, { optionalRoles, separateHead: options.separateHead ?? false });
  const { total, blocks } = counts;
  const requested = parametersToRemove(budget, { total, blocks, bytesPerParameter: FLOAT_DTYPE_BYTES[options.dtype ?? "BF16"] });
  const rowParameters = (counts.embedding + counts.head) / config.vocabSize;
  const vocabulary = await removedVocabulary(scores, options, checked, rowParameters, requested);
  const countsTokens = !(budget.kind === "share" && budget.of === "blocks");
  const relevance = await readRelevance(
    scores,
    { ...checked, aggregate: parseAggregate(checked.aggregate), asShare: checked.granularity !== "matrix" },
    options,
  );
  return {
    ...checked,
    config,
    optionalRoles,
    costs: config.layerSizes.map((_, layer) => blockCosts(config, layer, optionalRoles)),
    parameters: {
      total,
      blocks,
      requested: Math.max(0, requested - (countsTokens ? (vocabulary?.parameters ?? 0) : 0)),
    },
    vocabulary,
    relevance,
    damage: expectedDamage(relevance, checked, options.trials),
  };
}

/**
 * Chooses the removed tokens. `rowParameters`: parameters of a token's rows; `requested`: parameters that the budget
 * requests to free.
 */
async function removedVocabulary(
  scores: RelevanceScores,
  options: SelectionOptions,
  { dimensions, weights }: Pick<CheckedSelection, "dimensions" | "weights">,
  rowParameters: number,
  requested: number,
): Promise<RemovedVocabulary | null> {
  const cut = selectVocabulary(
    await scores.readVocabulary(),
    mayTrim(options) ? options.vocabulary : "keep",
    new Map(dimensions.map((dimension, index) => [dimension, weights[index]!])),
    rowParameters,
    requested,
  );
  return cut === null ? null : { cut, parameters: cut.removed.length * rowParameters };
}

/** Expected damage of every unit, one entry per layer. Only allocation `damage` uses trials. */
function expectedDamage(
  relevance: readonly LayerRelevance[],
  { dimensions, allocation }: Pick<CheckedSelection, "dimensions" | "allocation">,
  trials: SelectionOptions["trials"],
): LayerRelevance[] {
  const measured = allocation !== "damage" || trials === undefined || trials === "pending" ? [] : trials;
  const trialOf = (layer: number, kind: CutKind): MeasuredTrial | undefined =>
    measured.find((trial) => trial.layer === layer && trial.kind === kind);
  return relevance.map(
    (kinds, layer): LayerRelevance =>
      new Map([...kinds].map(([kind, values]) => [kind, unitDamage(values, dimensions, trialOf(layer, kind))])),
  );
}
