/**
 * @file The closing table, one row per target, in Markdown, and the list of faults.
 */

import type { TargetReport } from "./campaign.ts";
import type { Defect } from "./keep.ts";
import type { FaultKind } from "./target.ts";

/** Codes that are listed by name; the others are added up. */
const MAX_CODES = 4;

/** The table of a run. */
export function renderTable(reports: readonly TargetReport[]): string {
  const head = [
    "target",
    "inputs",
    "accepted",
    "refused",
    "hangs",
    "crashes",
    "largest RSS",
    "slowest",
    "inputs/s",
    "refused most, by code",
  ];
  const rows = reports.map((report) => rowOf(report));
  const sum = (pick: (report: TargetReport) => number): string =>
    String(reports.reduce((total, report) => total + pick(report), 0));
  const total = [
    "all",
    sum(({ inputs }) => inputs),
    sum(({ accepted }) => accepted),
    sum(refusedOf),
    sum(({ faults }) => faults.filter(({ fault }) => fault === "hang").length),
    sum(({ faults }) => faults.filter(({ fault }) => fault !== "hang").length),
    mebibytes(Math.max(...reports.map(({ peakBytes }) => peakBytes))),
    milliseconds(Math.max(...reports.map(({ slowest }) => slowest.elapsedMs))),
    "",
    "",
  ];
  const lines = [head, head.map(() => "---"), ...rows, total].map((cells) => `| ${cells.join(" | ")} |`);
  return `${lines.join("\n")}\n\n${secondReaders(reports)}`;
}

function rowOf(report: TargetReport): string[] {
  const { target, inputs, accepted, faults, peakBytes, slowest, elapsedMs } = report;
  const hangs = faults.filter(({ fault }) => fault === "hang").length;
  return [
    target,
    String(inputs),
    String(accepted),
    String(refusedOf(report)),
    String(hangs),
    String(faults.length - hangs),
    mebibytes(peakBytes),
    `${milliseconds(slowest.elapsedMs)} (${slowest.index})`,
    String(Math.round((1000 * inputs) / elapsedMs)),
    commonCodes(report.refused),
  ];
}

function refusedOf({ refused }: TargetReport): number {
  return Object.values(refused).reduce((sum, count) => sum + count, 0);
}

function commonCodes(refused: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(refused).toSorted(([, a], [, b]) => b - a);
  const shown = sorted.slice(0, MAX_CODES).map(([code, count]) => `${code} ${count}`);
  return [...shown, ...(sorted.length > MAX_CODES ? [`${sorted.length - MAX_CODES} more`] : [])].join(", ");
}

function secondReaders(reports: readonly TargetReport[]): string {
  return reports
    .filter(({ shown }) => shown > 0)
    .map(({ target, shown, stricter, faults }) => {
      const refused = faults.filter(({ fault }) => fault === "accepted").length;
      const accepted = commonCodes(stricter) || "none";
      const looser = `of a sample of the refused ones it accepts: ${accepted}`;
      return `${target}: the second reader refuses ${refused} of ${shown} accepted inputs; ${looser}.\n`;
    })
    .join("");
}

/** The faults of a run, one paragraph each, with the command that reproduces it. */
export function renderFaults(defects: readonly Defect[], seed: number): string {
  if (defects.length === 0) return "No faults.\n";
  return defects
    .map(({ target, fault, detail, count, index, change, isConfirmed, path }) =>
      [
        `${target}: ${FAULTS[fault]} (${count} inputs${isConfirmed ? "" : "; not when run alone"})`,
        ...detail.split("\n").map((line) => `    ${line}`),
        `    ${change}`,
        `    npm run fuzz -- --target ${target} --seed ${seed} --index ${index}`,
        ...(path === null ? [] : [`    ${path}`]),
      ].join("\n"),
    )
    .join("\n\n")
    .concat("\n");
}

const FAULTS: Readonly<Record<FaultKind, string>> = {
  crash: "an error without a code",
  message: "an error without all its parts, or too long",
  hang: "too slow",
  memory: "too much memory",
  ended: "the process ended",
  accepted: "accepted, but refused by the second reader",
  refused: "a valid file is refused",
};

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function milliseconds(elapsedMs: number): string {
  return `${Math.round(elapsedMs)} ms`;
}
