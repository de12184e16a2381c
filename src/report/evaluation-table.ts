/**
 * @file The table of an evaluation: task results → plain text.
 */

import type { Difference, Figure } from "../evaluation/intervals.ts";
import { FIGURE_NAMES, type FigureName, type TaskResult } from "../evaluation/summarize-task.ts";
import { formatPercent, formatPerplexity } from "./format.ts";
import { renderColumns } from "./table.ts";

/** Label and number formats of a figure. */
export interface FigureStyle {
  readonly label: string;
  readonly format: (value: number) => string;
  /** Formats a difference, without its sign. */
  readonly formatDifference: (value: number) => string;
}

const decimals = (digits: number) => (value: number) => value.toFixed(digits);
const points = (value: number): string => `${(value * 100).toFixed(1)} pt`;

/** Label and number formats of each figure. */
export const FIGURE_STYLES: Readonly<Record<FigureName, FigureStyle>> = {
  accuracy: { label: "accuracy", format: formatPercent, formatDifference: points },
  normalizedAccuracy: { label: "accuracy per character", format: formatPercent, formatDifference: points },
  answerNegativeLogLikelihood: { label: "NLL of correct choice, nats", format: decimals(3), formatDifference: decimals(3) },
  answerBitsPerByte: { label: "bits per byte of correct choice", format: decimals(3), formatDifference: decimals(3) },
  // The difference is of logarithms and is shown as a ratio.
  perplexity: { label: "perplexity", format: formatPerplexity, formatDifference: decimals(3) },
  bitsPerByte: { label: "bits per byte", format: decimals(3), formatDifference: decimals(3) },
  exactMatch: { label: "exact match", format: formatPercent, formatDifference: points },
  f1: { label: "F1", format: formatPercent, formatDifference: points },
  rougeL: { label: "ROUGE-L", format: formatPercent, formatDifference: points },
};

/**
 * Renders the results, without a final newline: one row per figure, with the other model's value and the difference if
 * compared.
 */
export function renderEvaluation(model: string, against: string | null, tasks: readonly TaskResult[]): string {
  const title = against === null ? model : `${model} against ${against}`;
  const compared = against === null ? [] : ["against", "difference", "95% interval", "p"];
  const header = ["task", "figure", "items", "value", "95% interval", ...compared];
  const rows = tasks.flatMap((task) =>
    FIGURE_NAMES.filter((name) => task.figures[name] !== undefined).map((name, index) => [
      index === 0 ? task.name : "",
      FIGURE_STYLES[name].label,
      String(task.items),
      ...figureCells(FIGURE_STYLES[name], task.figures[name]!),
      ...(against === null ? [] : differenceCells(name, task.against?.[name], task.differences?.[name])),
    ]),
  );
  return [title, "", ...renderColumns([header, ...rows], 2)].join("\n");
}

function figureCells({ format }: FigureStyle, { value, interval }: Figure): string[] {
  return [format(value), interval === null ? "–" : `${format(interval[0])} – ${format(interval[1])}`];
}

function differenceCells(name: FigureName, other: Figure | undefined, difference: Difference | undefined): string[] {
  const { format, formatDifference } = FIGURE_STYLES[name];
  const value = other === undefined ? "–" : format(other.value);
  if (difference === undefined) return [value, "–", "–", "–"];
  const show = (number: number): string =>
    name === "perplexity" ? `${Math.exp(number).toFixed(3)}×` : `${number < 0 ? "−" : "+"}${formatDifference(Math.abs(number))}`;
  const { interval, pValue } = difference;
  return [
    value,
    show(difference.value),
    interval === null ? "–" : `${show(interval[0])} to ${show(interval[1])}`,
    pValue === null ? "–" : pValue < 0.001 ? "<0.001" : pValue.toFixed(3),
  ];
}
