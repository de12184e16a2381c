/**
 * @file The table of a comparison: runs → rows, as plain text and as Markdown. One row per budget and method, with
 * means over seeds.
 */

import { comparisonFigures, denseSpread, spreadOf, type ComparisonFigure, type Spread } from "./comparison-figures.ts";
import { formatBytes, formatCount, formatDuration, formatPercent } from "./format.ts";
import { groupRuns, type MethodComparison, type RunGroup } from "./method-comparison.ts";
import { renderColumns } from "./table.ts";

/** A table with its title and notes. */
interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

/** Number of text columns, which are left-aligned. */
const TEXT_COLUMNS = 3;

/** Renders the table as plain text, without a final newline. */
export function renderComparison(comparison: MethodComparison): string {
  const { title, header, rows, notes } = comparisonTable(comparison);
  return [title, "", ...renderColumns([header, ...rows], TEXT_COLUMNS), "", ...notes].join("\n");
}

/** Renders the table as Markdown, with a final newline. */
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

/** Escapes file names, which the user chose: they must not split a cell or open a tag. */
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
    title: `${model}: comparison of methods, ${String(settings.selection["layout"])} layout`,
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
      ...(severalSeeds ? ["Values are means over seeds ± their standard deviation."] : []),
    ],
  };
}

function groupRow({ method, budget, runs }: RunGroup, figures: readonly ComparisonFigure[], severalSeeds: boolean): string[] {
  const mean = (of: (run: (typeof runs)[number]) => number): number => spreadOf(runs.map(of))?.mean ?? 0;
  return [
    budget,
    method,
    runs.every(({ repaired }) => repaired) ? "yes" : "no",
    // Masked parameters stay in the file: only nonzero ones are counted.
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
      `${dimension}: ${calibrationDocuments} calibration documents (scoring, repair), ${heldOutDocuments} held-out documents.`,
  );
  return [...captions, ...sizes];
}
