/**
 * @file Selection as a step: which relevances a choice needs, a rehearsal of the choice before anything expensive, and the choice itself.
 */

import { normsQueries } from "../families/index.ts";
import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Dimension } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { MATRIX_KINDS, unitCount, type RelevanceKind } from "../model/units.ts";
import { type RelevanceScores, type VocabularyRelevance } from "../scoring/relevance.ts";
import { DEFAULT_KINDS } from "../scoring/score.ts";
import { METHOD_NAMES, METHODS, type MethodName } from "../selection/methods/index.ts";
import { MATRIX_RELEVANCE, type PrunePlan } from "../selection/plan.ts";
import { selectUnits } from "../selection/select.ts";
import type { SelectionOptions } from "../selection/selection-context.ts";
import { CusprunError } from "../errors.ts";
import type { FloatDType } from "../tensor.ts";
import { defined } from "./defined.ts";
import type { ModelExtras } from "./model.ts";
import { mayTrim } from "./vocabulary-step.ts";

/** What a user decides about the selection. The rest of `SelectionOptions` follows from the model and the corpora. */
export type SelectionChoice = Omit<
  SelectionOptions,
  keyof JobOptions | keyof ModelExtras | "dimensions" | "dtype" | "method" | "trials"
>;

/**
 * A choice with a method's defaults where the user has none.
 * @throws CusprunError `SELECTION_INVALID` where the method cannot rank what was chosen.
 */
export function withMethod(choice: SelectionChoice, name: MethodName): SelectionChoice {
  const { defaults, kinds } = METHODS[name];
  const refused = refusedBy(name, choice);
  if (refused !== undefined) {
    throw new CusprunError("SELECTION_INVALID", {
      where: `method ${name}`,
      found: refused,
      expected: kinds.join(", "),
      remedy: "Choose other units, or another method",
    });
  }
  const { aggregate } = defaults;
  if (choice.granularity === "matrix") return { ...defined({ aggregate }), ...choice };
  return { ...defined({ kinds: defaults.kinds, aggregate, allocation: defaults.allocation?.[choice.layout] }), ...choice };
}

/** Methods that can make what was chosen: what a comparison has where the user names none. */
export function methodsFor(choice: SelectionChoice, repair: boolean | undefined): readonly MethodName[] {
  return METHOD_NAMES.filter((name) => {
    if (refusedBy(name, choice) !== undefined) return false;
    return !dropsLayers(withMethod(choice, name)) || (choice.layout === "uniform" && repair !== true);
  });
}

/** Whether whole layers are what goes. */
export function dropsLayers({ kinds }: Pick<SelectionChoice, "kinds">): boolean {
  return kinds?.includes("layer") ?? false;
}

/** What of a choice a method cannot rank. */
function refusedBy(name: MethodName, choice: SelectionChoice): string | undefined {
  const { kinds, matrix } = METHODS[name];
  if (choice.granularity === "matrix") return matrix ? undefined : "granularity matrix";
  return choice.kinds?.find((kind) => !kinds.includes(kind));
}

/** Relevances that a choice needs to be scored. */
export function neededKinds(
  config: ModelConfig,
  choice: Pick<SelectionChoice, "granularity" | "kinds" | "matrices">,
): readonly RelevanceKind[] {
  if (choice.granularity !== "matrix") return choice.kinds ?? DEFAULT_KINDS;
  // Where queries and keys are normed over a head, their rows are no neurons of the paper's kind, and selection takes none.
  const normed = normsQueries(config.family);
  const matrices = choice.matrices ?? MATRIX_KINDS.filter((matrix) => !(normed && (matrix === "q" || matrix === "k")));
  return [...new Set(matrices.map((matrix) => MATRIX_RELEVANCE[matrix]))];
}

/** All that is scored for a method under a choice: relevances, and what the method ranks by beside them. */
export function scoredKinds(
  config: ModelConfig,
  choice: Parameters<typeof neededKinds>[1],
  method: MethodName,
): readonly RelevanceKind[] {
  return [...neededKinds(config, choice), ...(METHODS[method].scores ?? [])];
}

/**
 * Makes the whole selection on made-up relevances. What is wrong with the options or cannot be reached with the model's sizes shows now and
 * not after the scoring.
 * @throws CusprunError what `selectUnits` throws.
 */
export async function rehearseSelection(
  config: ModelConfig,
  dimensions: readonly Dimension[],
  choice: SelectionChoice,
  extras: ModelExtras & { readonly dtype: FloatDType },
): Promise<PrunePlan> {
  const kinds = neededKinds(config, choice);
  const rehearsal: RelevanceScores = {
    config,
    fingerprint: "rehearsal",
    documents: [{ source: "rehearsal", tokenCount: 1, dimensions }],
    corpora: {},
    kinds,
    // Any distinct positive values do: whether a budget can be met depends on how many units there are.
    // Of whole layers the last go, which leaves the order of those that slide as it is.
    read: (layer, kind) =>
      Promise.resolve(
        kind === "layer"
          ? Float32Array.of(config.numHiddenLayers - layer)
          : Float32Array.from({ length: unitCount(kind, blockSizes(config, layer)) }, (_, unit) => 1 + unit),
      ),
    readReference: () => Promise.resolve(Float32Array.of(1)),
    // As if every token might go: whether so many really may is known once they have been counted.
    readVocabulary: () => Promise.resolve(mayTrim(choice) ? freeVocabulary(config.vocabSize, dimensions) : null),
    close: () => Promise.resolve(),
  };
  return selectUnits(rehearsal, { ...choice, ...extras, dimensions, trials: [] });
}

function freeVocabulary(vocabSize: number, dimensions: readonly Dimension[]): VocabularyRelevance {
  const nothing = [new Float64Array(vocabSize), new Float64Array(vocabSize)] as const;
  const relevances = new Map(dimensions.map((dimension) => [dimension, { halves: nothing, counted: nothing }]));
  return { relevances, derivations: new Map(), alwaysKept: new Set([0]) };
}

/**
 * Selects what goes.
 * @throws CusprunError what `selectUnits` throws.
 */
export function select(
  scores: RelevanceScores,
  dimensions: readonly Dimension[],
  choice: SelectionChoice,
  extras: Partial<ModelExtras> & { readonly dtype: FloatDType },
  job: JobOptions,
): Promise<PrunePlan> {
  return selectUnits(scores, { ...choice, ...extras, ...job, dimensions });
}
