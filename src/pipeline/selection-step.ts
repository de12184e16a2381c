/**
 * @file Selection as a step: the user's choice with the method's defaults, the relevances that it needs, and a
 * rehearsal of the selection before anything expensive.
 */

import { normsQueries } from "../families/index.ts";
import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { DIMENSIONS, type Dimension } from "../corpora/corpus.ts";
import type { CorpusSpecs } from "../corpora/load.ts";
import { meanOf } from "../corpora/token-counts.ts";
import type { JobOptions } from "../progress.ts";
import { MATRIX_KINDS, unitCount, type RelevanceKind } from "../model/units.ts";
import type { RelevanceScores, VocabularyRelevance } from "../scoring/relevance.ts";
import { DEFAULT_KINDS } from "../scoring/score.ts";
import type { VocabularyFacts } from "../scoring/token-relevance.ts";
import { METHOD_NAMES, METHODS, type MethodName } from "../selection/methods/index.ts";
import { MATRIX_RELEVANCE, type PrunePlan } from "../selection/plan.ts";
import { selectUnits } from "../selection/select.ts";
import { mayTrim, type SelectionOptions } from "../selection/selection-options.ts";
import { CusprunError } from "../errors.ts";
import type { FloatDType } from "../tensor.ts";
import { defined } from "./defined.ts";
import type { ModelExtras } from "./model.ts";

/** The part of `SelectionOptions` that a user decides. The rest follows from the model and the corpora. */
export type SelectionChoice = Omit<
  SelectionOptions,
  keyof JobOptions | keyof ModelExtras | "dimensions" | "dtype" | "method" | "trials"
>;

/**
 * The dimensions that have a corpus, in the fixed order.
 * @throws CusprunError `USAGE` if there is none.
 */
export function chosenDimensions(specs: CorpusSpecs): readonly Dimension[] {
  const chosen = DIMENSIONS.filter((dimension) => (specs[dimension] ?? []).length > 0);
  if (chosen.length > 0) return chosen;
  throw new CusprunError("USAGE", {
    where: "corpora",
    found: "none",
    expected: "at least one of a language, a domain and a task",
    remedy: "Add, for example, --language en",
  });
}

/**
 * A choice with a method's defaults filled in.
 * @throws CusprunError `SELECTION_INVALID` if the method cannot rank the chosen units.
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

/** Methods that can make the chosen expert: those that a comparison runs if the user names none. */
export function methodsFor(choice: SelectionChoice, repair: boolean | undefined): readonly MethodName[] {
  return METHOD_NAMES.filter((name) => {
    if (refusedBy(name, choice) !== undefined) return false;
    return !dropsLayers(withMethod(choice, name)) || (choice.layout === "uniform" && repair !== true);
  });
}

/** Whether whole layers are removed. */
export function dropsLayers({ kinds }: Pick<SelectionChoice, "kinds">): boolean {
  return kinds?.includes("layer") ?? false;
}

/** The part of a choice that a method cannot rank. */
function refusedBy(name: MethodName, choice: SelectionChoice): string | undefined {
  const { kinds, matrix } = METHODS[name];
  if (choice.granularity === "matrix") return matrix ? undefined : "granularity matrix";
  return choice.kinds?.find((kind) => !kinds.includes(kind));
}

/** The relevances that a choice needs. */
export function neededKinds(
  config: ModelConfig,
  choice: Pick<SelectionChoice, "granularity" | "kinds" | "matrices">,
): readonly RelevanceKind[] {
  if (choice.granularity !== "matrix") return choice.kinds ?? DEFAULT_KINDS;
  // If queries and keys are normalised over a head, their rows are no neurons in the paper's sense, and selection
  // removes none.
  const normed = normsQueries(config.family);
  const matrices = choice.matrices ?? MATRIX_KINDS.filter((matrix) => !(normed && (matrix === "q" || matrix === "k")));
  return [...new Set(matrices.map((matrix) => MATRIX_RELEVANCE[matrix]))];
}

/** Everything that is scored for a method: the relevances that the choice needs, and those that the method ranks by. */
export function scoredKinds(
  config: ModelConfig,
  choice: Parameters<typeof neededKinds>[1],
  method: MethodName,
): readonly RelevanceKind[] {
  return [...neededKinds(config, choice), ...(METHODS[method].scores ?? [])];
}

/**
 * Makes the whole selection on made-up relevances, so that invalid options and budgets that the model's sizes cannot
 * meet are reported before the scoring.
 * @param facts counts by which tokens are ranked; null if none are known: then any token may be removed.
 * @throws CusprunError the errors of `selectUnits`.
 */
export async function rehearseSelection(
  config: ModelConfig,
  dimensions: readonly Dimension[],
  choice: SelectionChoice,
  extras: ModelExtras & { readonly dtype: FloatDType },
  facts: VocabularyFacts | null = null,
): Promise<PrunePlan> {
  const kinds = neededKinds(config, choice);
  const rehearsal: RelevanceScores = {
    model: { family: config.family, tensors: {}, weights: "rehearsal" },
    config,
    fingerprint: "rehearsal",
    documents: [{ source: "rehearsal", tokenCount: 1, dimensions }],
    corpora: {},
    kinds,
    // Any distinct positive values will do: whether a budget can be met depends only on how many units there are.
    // Of whole layers the last ones are removed, which keeps the period of the layers with sliding attention.
    read: (layer, kind) =>
      Promise.resolve(
        kind === "layer"
          ? Float32Array.of(config.numHiddenLayers - layer)
          : Float32Array.from({ length: unitCount(kind, blockSizes(config, layer)) }, (_, unit) => 1 + unit),
      ),
    readReference: () => Promise.resolve(Float32Array.of(1)),
    readVocabulary: () => {
      if (!mayTrim(choice)) return Promise.resolve(null);
      return Promise.resolve(facts === null ? freeVocabulary(config.vocabSize, dimensions) : countedVocabulary(facts));
    },
    close: () => Promise.resolve(),
  };
  return selectUnits(rehearsal, { ...choice, ...extras, dimensions, trials: "pending" });
}

/** As if tokens were scored by their counts alone. */
function countedVocabulary({ counts, derivations, alwaysKept }: VocabularyFacts): VocabularyRelevance {
  const relevances = new Map(
    [...counts].map(([dimension, { halves: counted, words }]) => {
      const ofHalf = (half: 0 | 1): Float64Array => meanOf([counted[half], ...(words === null ? [] : [words])]);
      return [dimension, { halves: [ofHalf(0), ofHalf(1)], counted }] as const;
    }),
  );
  return { relevances, derivations, alwaysKept };
}

/** As if every token might be removed: how many really may be is known once they have been counted. */
function freeVocabulary(vocabSize: number, dimensions: readonly Dimension[]): VocabularyRelevance {
  const nothing = [new Float64Array(vocabSize), new Float64Array(vocabSize)] as const;
  const relevances = new Map(dimensions.map((dimension) => [dimension, { halves: nothing, counted: nothing }]));
  return { relevances, derivations: new Map(), alwaysKept: new Set([0]) };
}
