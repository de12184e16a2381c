/**
 * @file The table of a comparison: runs → rows, for a terminal and as Markdown. A row per budget and method, means over seeds.
 */

import { comparisonFigures, denseSpread, spreadOf, type ComparisonFigure, type Spread } from "./comparison-figures.ts";
import { formatBytes, formatCount, formatDuration, formatPercent } from "./format.ts";
import { groupRuns, type MethodComparison, type RunGroup } from "./method-comparison.ts";
import { renderColumns } from "./table.ts";

/** A table with what stands above and below it. */
interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

/** Columns of words, which are aligned left. */
const TEXT_COLUMNS = 3;

/**
 * Renders the table for a terminal, without a final line end.
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { renderComparison, type MethodComparison } from "cusprun";
 *
 * const comparison = JSON.parse(await readFile("comparisons/medical/results.json", "utf8")) as MethodComparison;
 * console.log(renderComparison(comparison));
 * ```
 */
export function renderComparison(comparison: MethodComparison): string {
  const { title, header, rows, notes } = comparisonTable(comparison);
  return [title, "", ...renderColumns([header, ...rows], TEXT_COLUMNS), "", ...notes].join("\n");
}

/** Renders the table as Markdown, with a final line end. */
export function comparisonMarkdown(comparison: MethodComparison): string {
  const { title, header, rows, notes } = comparisonTable(comparison);
  const rule = header.map((_, column) => (column < TEXT_COLUMNS ? "---" : "---:"));
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeMarkdown).join(" | ")} |`;
  return [
    `# ${escapeMarkdown(title)}`,
    "",
    ...[header, rule, ...rows].map(line),
    "",
    ...notes.map((note) => `- ${escapeMarkdown(note)}`),
    "",
  ].join("\n");
}

/** Names of files are the user's: they must not part a cell or open a tag. */
function escapeMarkdown(text: string): string {
  return text.replaceAll(/[|\\]/g, "\\$&").replaceAll("<", "&lt;");
}

function comparisonTable(comparison: MethodComparison): Table {
  const { model, settings, parameters, runs } = comparison;
  const figures = comparisonFigures(comparison);
  const severalSeeds = new Set(runs.map(({ seed }) => seed)).size > 1;
  const denseRow = [
    "",
    "dense",
    "",
    formatCount(parameters.total),
    "",
    ...figures.map((figure) => cell(denseSpread(comparison, figure), figure)),
    "",
    "",
    ...(severalSeeds ? [""] : []),
  ];
  return {
    title: `${model}: methods side by side, ${String(settings.selection["layout"])}`,
    header: [
      "budget",
      "method",
      "repaired",
      "parameters",
      "removed",
      ...figures.map(({ title }) => title),
      "time",
      "memory",
      ...(severalSeeds ? ["seeds"] : []),
    ],
    rows: [denseRow, ...groupRuns(comparison).map((group) => groupRow(group, figures, severalSeeds))],
    notes: [
      ...notesOf(comparison, figures),
      ...(severalSeeds ? ["Means over seeds ± the standard deviation between them."] : []),
    ],
  };
}

function groupRow({ method, budget, runs }: RunGroup, figures: readonly ComparisonFigure[], severalSeeds: boolean): string[] {
  const mean = (of: (run: (typeof runs)[number]) => number): number => spreadOf(runs.map(of))?.mean ?? 0;
  return [
    budget,
    method,
    runs.every(({ repaired }) => repaired) ? "yes" : "no",
    // What is masked stays in the file: what counts is what is not zero.
    formatCount(mean(({ parameters }) => parameters.before - parameters.removed)),
    formatPercent(mean(({ parameters }) => parameters.removed / parameters.before)),
    ...figures.map((figure) => cell(spreadOf(runs.map(figure.expert)), figure)),
    formatDuration(mean(({ elapsedMs }) => elapsedMs)),
    formatBytes(mean(({ peakBytes }) => peakBytes)),
    ...(severalSeeds ? [String(runs.length)] : []),
  ];
}

function cell(spread: Spread | null, { format }: ComparisonFigure): string {
  if (spread === null) return "–";
  return spread.deviation === null ? format(spread.mean) : `${format(spread.mean)} ± ${format(spread.deviation)}`;
}

function notesOf({ runs }: MethodComparison, figures: readonly ComparisonFigure[]): string[] {
  const captions = figures.map(({ caption }) => `${caption.charAt(0).toUpperCase()}${caption.slice(1)}.`);
  const sizes = (runs[0]?.dimensions ?? []).map(
    ({ dimension, calibrationDocuments, heldOutDocuments }) =>
      `${dimension}: ${calibrationDocuments} documents choose and repair, ${heldOutDocuments} judge.`,
  );
  return [...captions, ...sizes];
}
