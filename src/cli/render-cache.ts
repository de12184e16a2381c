/**
 * @file The contents of the cache, and what was removed from it, as text.
 */

import { relative } from "node:path";
import type { CacheEntry, CachedWork } from "../pipeline/cache.ts";
import type { CacheReport } from "../pipeline/cache-prune.ts";
import { formatBytes } from "../report/format.ts";
import { renderColumns } from "../report/table.ts";

const HEADINGS: Readonly<Record<CacheEntry["kind"], string>> = {
  model: "Models",
  work: "Work folders",
  leftover: "Left by processes that have ended",
};

/** Renders the result of `cusprun cache`, without a final newline. */
export function renderCache(report: CacheReport): string {
  return (report.pruned === null ? contentLines(report) : removalLines(report, report.pruned)).join("\n");
}

function contentLines(report: CacheReport): string[] {
  const { folder, entries } = report;
  const sections = (Object.keys(HEADINGS) as CacheEntry["kind"][]).flatMap((kind) => {
    const rows = entries.filter((entry) => entry.kind === kind).map((entry) => [...columnsOf(entry, folder), factsOf(entry)]);
    return rows.length === 0 ? [] : [`${HEADINGS[kind]}:`, ...renderColumns(rows, 5), ""];
  });
  const isPrunable = entries.some((entry) => entry.kind === "leftover" || (entry.kind === "work" && entry.unusable !== null));
  return [
    folder,
    "",
    ...(sections.length === 0 ? ["Nothing is there.", ""] : sections),
    totalLine(report),
    `Models from the hub are in ${report.hubFolder}, which all Hugging Face tools share.`,
    ...(isPrunable ? ["", "To clean up:", "  cusprun cache --prune"] : []),
  ];
}

function removalLines(report: CacheReport, { dryRun, removed, bytes }: NonNullable<CacheReport["pruned"]>): string[] {
  if (removed.length === 0) return [`Nothing to remove in ${report.folder}.`, totalLine(report)];
  const rows = removed.map((entry) => [...columnsOf(entry, report.folder), entry.reason]);
  const done = dryRun ? "Would remove" : "Removed";
  return [
    `${done} from ${report.folder}:`,
    ...renderColumns(rows, 5),
    "",
    `${done} ${formatBytes(bytes)} in total.`,
    ...(dryRun ? [] : [totalLine(report)]),
  ];
}

function totalLine({ bytes, workBytes, limitBytes }: CacheReport): string {
  return `Total ${formatBytes(bytes)}; work folders ${formatBytes(workBytes)} of at most ${formatBytes(limitBytes)}.`;
}

/** Path in the cache, size, last use, model. */
function columnsOf({ path, bytes, lastUsed, model }: CacheEntry, folder: string): string[] {
  return [`  ${relative(folder, path)}`, formatBytes(bytes), formatTime(lastUsed), model ?? ""];
}

function factsOf(entry: CacheEntry): string {
  return entry.kind === "work" ? workFacts(entry) : "";
}

function workFacts({ results, inUse, unusable, device }: CachedWork): string {
  const held = Object.entries(results).map(([kind, bytes]) => `${kind} ${formatBytes(bytes)}`);
  const onDevice = device === null || device === "cpu" ? [] : [`on ${device}`];
  return [...(inUse ? ["in use"] : []), ...(unusable === null ? [] : [unusable]), ...onDevice, ...held].join(", ");
}

/** In the local time zone, as `2026-01-31 18:05`. */
function formatTime(time: string): string {
  return new Date(time).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });
}
