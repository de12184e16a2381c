/**
 * @file The figures of a comparison, one per dimension and evaluation file: the columns of the table and the y axes of
 * the plots.
 */

import type { FigureName, TaskResult } from "../evaluation/summarize-task.ts";
import { FIGURE_STYLES } from "./evaluation-table.ts";
import { formatPerplexity } from "./format.ts";
import { groupRuns, type MethodComparison, type MethodRun, type RunGroup } from "./method-comparison.ts";

/** A task is represented by the first of these figures that it has. */
const MAIN_FIGURES: readonly FigureName[] = ["accuracy", "bitsPerByte", "exactMatch", "f1", "rougeL"];

/** A figure of the comparison. */
export interface ComparisonFigure {
  /** File name without extension, e.g. `held-out-domain`. */
  readonly id: string;
  /** Column header. */
  readonly title: string;
  /** The quantity, the data that it is measured on, and which direction is better. */
  readonly caption: string;
  /** Whether the axis is logarithmic. */
  readonly logarithmic: boolean;
  readonly format: (value: number) => string;
  /** The dense model's value, on the held-out documents of the run. */
  readonly dense: (run: MethodRun) => number | null;
  /** The expert's value. */
  readonly expert: (run: MethodRun) => number | null;
}

/** The comparison's figures: each dimension's held-out documents, then each evaluation file. */
export function comparisonFigures(comparison: MethodComparison): readonly ComparisonFigure[] {
  return [...heldOutFigures(comparison), ...taskFigures(comparison)];
}

/** Perplexity is per token: if an expert's vocabulary differs, bits per byte are used instead. */
function heldOutFigures({ settings, runs }: MethodComparison): ComparisonFigure[] {
  const sameTokens = runs.every(({ vocabulary }) => vocabulary === null);
  const [name, words] = sameTokens ? (["perplexity", "perplexity"] as const) : (["bitsPerByte", "bits per byte"] as const);
  return Object.entries(settings.corpora).map(([dimension, label]) => {
    const of = (run: MethodRun): MethodRun["dimensions"][number] | undefined =>
      run.dimensions.find((candidate) => candidate.dimension === dimension);
    return {
      id: `held-out-${dimension}`,
      title: `${dimension}: ${label}`,
      caption: `${words} on held-out documents of the ${dimension} ${label}, lower is better`,
      logarithmic: sameTokens,
      format: sameTokens ? formatPerplexity : (value) => value.toFixed(3),
      dense: (run) => of(run)?.dense?.[name] ?? null,
      expert: (run) => of(run)?.expert?.[name] ?? null,
    };
  });
}

function taskFigures({ settings, dense }: MethodComparison): ComparisonFigure[] {
  const ids = uniqueNames(settings.tasks.map(({ name }) => fileName(name)));
  return settings.tasks.flatMap(({ name, items }, index) => {
    const valueOf = (figure: FigureName, tasks: readonly TaskResult[]): number | null =>
      tasks[index]?.figures[figure]?.value ?? null;
    const main = MAIN_FIGURES.find((figure) => valueOf(figure, dense.tasks) !== null);
    if (main === undefined) return [];
    const { label, format } = FIGURE_STYLES[main];
    return [
      {
        id: `task-${ids[index]!}`,
        title: `${name}: ${label}`,
        caption: `${label} on ${items} items of ${name}, ${main === "bitsPerByte" ? "lower" : "higher"} is better`,
        logarithmic: false,
        format,
        dense: () => valueOf(main, dense.tasks),
        expert: (run: MethodRun) => valueOf(main, run.tasks),
      },
    ];
  });
}

/** Letters, digits, `.`, `_` and `-` of a name: characters that every file system accepts. */
function fileName(name: string): string {
  return name.replaceAll(/[^\p{Letter}\p{Number}._-]+/gu, "-");
}

/** Files in different folders may have the same name. */
function uniqueNames(names: readonly string[]): string[] {
  return names.map((name, index) => (names.indexOf(name) === index ? name : `${name}-${index + 1}`));
}

/** Values over seeds. */
export interface Spread {
  readonly mean: number;
  readonly least: number;
  readonly most: number;
  /** Sample standard deviation; null for a single value. */
  readonly deviation: number | null;
}

/** Summarises values over seeds; null if there are none. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = known.length < 2 ? null : Math.sqrt(squares / (known.length - 1));
  return { mean, least: Math.min(...known), most: Math.max(...known), deviation };
}

/** The dense model's figure over seeds: each seed has its own documents and counts once. */
export function denseSpread({ runs }: MethodComparison, figure: ComparisonFigure): Spread | null {
  const bySeed = new Map(runs.map((run) => [run.seed, figure.dense(run)]));
  const values = [...bySeed.values()];
  // Evaluation files are the same for every seed.
  return spreadOf(new Set(values).size === 1 ? values.slice(0, 1) : values);
}

/** A point in a plot: a method at a budget. */
export interface FigurePoint {
  readonly group: RunGroup;
  readonly spread: Spread;
}

/** The finite points of a figure, by method. */
export function figurePoints(comparison: MethodComparison, figure: ComparisonFigure): readonly FigurePoint[] {
  return groupRuns(comparison).flatMap((group) => {
    const spread = spreadOf(group.runs.map(figure.expert));
    return spread === null || !Number.isFinite(spread.most) ? [] : [{ group, spread }];
  });
}
