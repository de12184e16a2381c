/**
 * @file What a run will take, as text: a table for a dry run, and one line before a run.
 */

import type { StageTime } from "../progress.ts";
import { formatBytes } from "./format.ts";
import type { MemoryReport, PruneEstimate } from "./report.ts";
import { renderColumns } from "./table.ts";

/** Stages that take a smaller share of a run's time are not named in the line before it. */
const NAMED_SHARE = 0.05;

/** Renders an estimate, without a final newline. */
export function renderEstimate({ model, out, stages, seconds, memory, written }: PruneEstimate): string {
  const rows = sumByName(stages).map((stage) => [stage.stage, timeOf(stage), memoryOf(stage.stage, memory)]);
  const peak = Math.max(...memory.stages.map(({ peakBytes }) => peakBytes));
  return [
    `${model}: what this run will take on this machine`,
    "",
    ...renderColumns(
      [
        ["stage", "time", "memory"],
        ...rows,
        ["total", formatAbout(seconds), `of ${formatBytes(memory.limitBytes)}: ${formatBytes(peak)}`],
      ],
      1,
    ),
    "",
    ...renderColumns(
      written.map(({ label, bytes }) => [label, `about ${formatBytes(bytes)}`]),
      1,
    ),
    "",
    `Nothing was written. Without --dry-run, the expert will be in ${out}.`,
  ].join("\n");
}

/** `about 7 min on this machine: scoring 1 min, repairing 4 min, writing 30 s`. */
export function describeStages(stages: readonly StageTime[]): string {
  const total = stages.reduce((sum, { seconds }) => sum + seconds, 0);
  const named = sumByName(stages).filter(({ seconds, reused }) => reused || seconds >= NAMED_SHARE * total);
  const parts = named.map((stage) => `${stage.stage} ${stage.reused ? "(reused)" : timeOf(stage)}`);
  return `about ${formatAbout(total)} on this machine: ${parts.join(", ")}`;
}

/** A duration to two digits or so: `under 1 s`, `8 s`, `35 s`, `2 min 30 s`, `47 min`, `3 h 20 min`. */
export function formatAbout(seconds: number): string {
  if (seconds < 1) return "under 1 s";
  const step = [10, 60, 600, 3600].findIndex((limit) => seconds < limit);
  const rounding = [1, 5, 10, 60][step] ?? 600;
  const rounded = Math.round(seconds / rounding) * rounding;
  const [hours, minutes, rest] = [Math.floor(rounded / 3600), Math.floor((rounded % 3600) / 60), rounded % 60];
  const parts = [hours > 0 && `${hours} h`, minutes > 0 && `${minutes} min`, rest > 0 && `${rest} s`];
  return parts.filter((part) => part !== false).join(" ");
}

function timeOf({ seconds, reused }: StageTime): string {
  return reused ? "reused" : formatAbout(seconds);
}

/** Memory is planned for kinds of stages: both models are measured in the same way. */
function memoryOf(stage: string, { stages }: MemoryReport): string {
  const plan = stages.find((planned) => stage.startsWith(planned.stage));
  return plan === undefined ? "" : formatBytes(plan.peakBytes);
}

/** Stages of one name as one: formats are written one after the other. */
function sumByName(stages: readonly StageTime[]): StageTime[] {
  const sums = new Map<string, StageTime>();
  for (const stage of stages) {
    const { seconds = 0 } = sums.get(stage.stage) ?? {};
    sums.set(stage.stage, { ...stage, seconds: seconds + stage.seconds });
  }
  return [...sums.values()];
}
