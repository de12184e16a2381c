/**
 * @file Scores of a task's items → its figures with their intervals, and their differences from another model's on the
 * same items.
 */

import { indexOfLargest } from "./index-of-largest.ts";
import {
  expFigure,
  ratioDifference,
  ratioFigure,
  shareDifference,
  shareFigure,
  type Difference,
  type Figure,
} from "./intervals.ts";
import type { ChoiceScore, GenerationScore, ItemScore, TextScore } from "./item-scores.ts";
import { GENERATION_METRICS, type GenerationMetric, type Task, type TaskType } from "./task-file.ts";

/** Every figure, in the order in which they are shown. */
export const FIGURE_NAMES = [
  "accuracy",
  "normalizedAccuracy",
  "answerNegativeLogLikelihood",
  "answerBitsPerByte",
  "perplexity",
  "bitsPerByte",
  "exactMatch",
  "f1",
  "rougeL",
] as const;

/**
 * Name of a figure. `accuracy`: share of items whose most likely choice is right; `normalizedAccuracy`: most likely per
 * character; `answerNegativeLogLikelihood`: mean over the items, of the right choice, in nats; `answerBitsPerByte`: of
 * all right choices; `perplexity`: of all tokens of all texts, comparable under one tokenizer only; `bitsPerByte`: of
 * all texts, comparable under any; `exactMatch`: share of generated answers that equal a reference; `f1`, `rougeL`:
 * mean over the items, with the best reference.
 */
export type FigureName = (typeof FIGURE_NAMES)[number];

/** A model's figures on a task. */
export interface TaskResult {
  readonly name: string;
  readonly type: TaskType;
  readonly items: number;
  readonly figures: Readonly<Partial<Record<FigureName, Figure>>>;
  /** Figures of the other model, on the same items. Absent if there is no other. */
  readonly against?: Readonly<Partial<Record<FigureName, Figure>>>;
  /**
   * The model's figure minus the other's, if they can be compared. McNemar's exact test for accuracies, the paired
   * t-test for likelihoods. Perplexities are compared only if both models have the same tokens, as the logarithm of
   * their ratio.
   */
  readonly differences?: Readonly<Partial<Record<FigureName, Difference>>>;
}

/** A figure in terms of item scores: a share of right items, or a ratio of sums. */
type Sample =
  | { readonly kind: "share"; readonly right: readonly boolean[] }
  | { readonly kind: "ratio"; readonly values: readonly number[]; readonly weights: readonly number[]; readonly exp: boolean };

/**
 * Summarises a task.
 * @param scores of the model, in the order of the task's items.
 * @param against scores of the other model, or null.
 */
export function summarizeTask(task: Task, scores: readonly ItemScore[], against: readonly ItemScore[] | null): TaskResult {
  const own = samplesOf(scores);
  const base = { name: task.name, type: task.type, items: scores.length, figures: figuresOf(own) };
  if (against === null) return base;
  const other = samplesOf(against);
  const differences: Partial<Record<FigureName, Difference>> = {};
  for (const [name, sample] of entries(own)) {
    const difference = compare(sample, other[name]!);
    if (difference !== null) differences[name] = difference;
  }
  return { ...base, against: figuresOf(other), differences };
}

function figuresOf(samples: Readonly<Partial<Record<FigureName, Sample>>>): Partial<Record<FigureName, Figure>> {
  return Object.fromEntries(
    entries(samples).map(([name, sample]) => {
      if (sample.kind === "share") return [name, shareFigure(sample.right)];
      const figure = ratioFigure(sample.values, sample.weights);
      return [name, sample.exp ? expFigure(figure) : figure];
    }),
  );
}

/** Null if the figures mean different things: ratios over different weights (tokens of another tokenizer). */
function compare(own: Sample, other: Sample): Difference | null {
  if (own.kind === "share") return other.kind === "share" ? shareDifference(own.right, other.right) : null;
  if (other.kind === "share" || own.weights.some((weight, index) => weight !== other.weights[index])) return null;
  return ratioDifference(own.values, other.values, own.weights);
}

function samplesOf(scores: readonly ItemScore[]): Partial<Record<FigureName, Sample>> {
  const [first] = scores;
  if (first === undefined) return {};
  switch (first.type) {
    case "multiple_choice":
      return choiceSamples(scores.filter((score) => score.type === first.type));
    case "perplexity":
      return textSamples(scores.filter((score) => score.type === first.type));
    case "generation":
      return generationSamples(scores.filter((score) => score.type === first.type));
    default:
      throw first satisfies never;
  }
}

const FIGURE_OF_METRIC: Readonly<Record<GenerationMetric, FigureName>> = {
  exact_match: "exactMatch",
  f1: "f1",
  rougeL: "rougeL",
};

/** One figure for each metric that occurs in the items. */
function generationSamples(scores: readonly GenerationScore[]): Partial<Record<FigureName, Sample>> {
  return Object.fromEntries(
    GENERATION_METRICS.flatMap((metric): [FigureName, Sample][] => {
      const values = scores.filter((score) => score.metric === metric).map(({ score }) => score);
      if (values.length === 0) return [];
      const sample: Sample =
        metric === "exact_match"
          ? { kind: "share", right: values.map((value) => value === 1) }
          : { kind: "ratio", values, weights: values.map(() => 1), exp: false };
      return [[FIGURE_OF_METRIC[metric], sample]];
    }),
  );
}

function choiceSamples(scores: readonly ChoiceScore[]): Partial<Record<FigureName, Sample>> {
  const losses = scores.map(({ logLikelihoods, answer }) => -logLikelihoods[answer]!);
  const ones = scores.map(() => 1);
  return {
    accuracy: { kind: "share", right: scores.map(({ logLikelihoods, answer }) => likeliest(logLikelihoods) === answer) },
    normalizedAccuracy: {
      kind: "share",
      right: scores.map(
        ({ logLikelihoods, characters, answer }) =>
          likeliest(logLikelihoods.map((value, index) => value / characters[index]!)) === answer,
      ),
    },
    answerNegativeLogLikelihood: { kind: "ratio", values: losses, weights: ones, exp: false },
    answerBitsPerByte: {
      kind: "ratio",
      values: losses.map((loss) => loss / Math.LN2),
      weights: scores.map(({ answerBytes }) => answerBytes),
      exp: false,
    },
  };
}

function textSamples(scores: readonly TextScore[]): Partial<Record<FigureName, Sample>> {
  const losses = scores.map(({ logLikelihood }) => -logLikelihood);
  return {
    perplexity: { kind: "ratio", values: losses, weights: scores.map(({ tokens }) => tokens), exp: true },
    bitsPerByte: {
      kind: "ratio",
      values: losses.map((loss) => loss / Math.LN2),
      weights: scores.map(({ bytes }) => bytes),
      exp: false,
    },
  };
}

/** The choice that a model takes; −1, which is never right, if a likelihood is not a number. */
function likeliest(values: readonly number[]): number {
  return values.some(Number.isNaN) ? -1 : indexOfLargest(values);
}

function entries(samples: Readonly<Partial<Record<FigureName, Sample>>>): [FigureName, Sample][] {
  return FIGURE_NAMES.flatMap((name): [FigureName, Sample][] => {
    const sample = samples[name];
    return sample === undefined ? [] : [[name, sample]];
  });
}
