/**
 * @file Runs a target's inputs in worker processes, one after the other, and gathers what became of them. A process
 * that hangs or dies is replaced, and the run goes on after the input that was to blame.
 */

import { WorkerProcess } from "./process.ts";
import type { Fault, RangeReport, ToWorker } from "./protocol.ts";
import { withScratch } from "./scratch.ts";
import type { Outcome } from "./target.ts";

/** Limits of one input. */
export interface Limits {
  readonly hangSeconds: number;
  readonly maxBytes: number;
}

/** The limits that `docs/reliability.md` promises. */
export const LIMITS: Limits = { hangSeconds: 5, maxBytes: 500 * 2 ** 20 };

/** Inputs of a task: small enough that little is run again after a hang. */
const RANGE = 200;
/** Hangs and deaths after which a target is given up: each costs seconds. */
const MAX_KILLED = 25;

/** The totals of a target. */
export interface TargetReport {
  readonly target: string;
  inputs: number;
  accepted: number;
  refused: Record<string, number>;
  faults: Fault[];
  /** The slowest input that was not killed. */
  slowest: { index: number; elapsedMs: number };
  peakBytes: number;
  /** Accepted inputs that a second reader was shown. */
  shown: number;
  stricter: Record<string, number>;
  elapsedMs: number;
}

/** Runs inputs `[0, count)` of a target. */
export async function runTarget(
  target: string,
  {
    seed,
    count,
    limits,
    onProgress,
  }: { seed: number; count: number; limits: Limits; onProgress?: (report: TargetReport) => void },
): Promise<TargetReport> {
  const report: TargetReport = {
    target,
    inputs: 0,
    accepted: 0,
    refused: {},
    faults: [],
    slowest: { index: -1, elapsedMs: 0 },
    peakBytes: 0,
    shown: 0,
    stricter: {},
    elapsedMs: 0,
  };
  const started = performance.now();
  await withWorkers(target, limits, async (workers) => {
    let [next, killed] = [0, 0];
    while (next < count && killed < MAX_KILLED) {
      const end = await runRange(workers, report, seed, next, Math.min(next + RANGE, count), limits);
      if (end.killed) killed++;
      ({ next } = end);
      report.elapsedMs = performance.now() - started;
      onProgress?.(report);
    }
  });
  return report;
}

/**
 * Runs a range. If an input ends the process, the report of those before it is lost: they are run again, without it.
 * @returns the next index to run.
 */
async function runRange(
  workers: Workers,
  report: TargetReport,
  seed: number,
  from: number,
  to: number,
  limits: Limits,
): Promise<{ readonly next: number; readonly killed: boolean }> {
  const end = await workers.run({ type: "range", seed, from, to, maxBytes: limits.maxBytes });
  if (end.type === "answer") {
    if (end.answer.type === "failed") throw new Error(`the worker of '${report.target}' failed: ${end.answer.detail}`);
    if (end.answer.type !== "range") throw new Error("the worker answered another question");
    add(report, end.answer.report, from);
    if (end.answer.report.replace) await workers.replace();
    return { next: end.answer.report.to, killed: false };
  }
  if (end.index < from) throw new Error(`the worker ended between two inputs: ${JSON.stringify(end)}`);
  report.faults.push(faultOf(end));
  report.inputs++;
  let next = from;
  while (next < end.index) ({ next } = await runRange(workers, report, seed, next, end.index, limits));
  return { next: Math.max(next, end.index + 1), killed: true };
}

function faultOf(end: { type: "hang"; index: number; seconds: number } | { type: "ended"; index: number; how: string }): Fault {
  return end.type === "hang"
    ? { index: end.index, fault: "hang", detail: `${end.seconds.toFixed(1)} s of processor time` }
    : { index: end.index, fault: "ended", detail: end.how };
}

function add(report: TargetReport, range: RangeReport, from: number): void {
  report.inputs += range.to - from;
  report.accepted += range.accepted;
  for (const [code, count] of Object.entries(range.refused)) report.refused[code] = (report.refused[code] ?? 0) + count;
  for (const [code, count] of Object.entries(range.stricter)) report.stricter[code] = (report.stricter[code] ?? 0) + count;
  report.faults.push(...range.faults);
  if (range.slowest.elapsedMs > report.slowest.elapsedMs) report.slowest = range.slowest;
  report.peakBytes = Math.max(report.peakBytes, range.peakBytes);
  report.shown += range.shown;
}

/** The result of one input by itself. */
export interface SingleResult {
  readonly outcome: Outcome;
  readonly elapsedMs: number;
  readonly peakBytes: number;
}

/** Runs single inputs of a target, all in one process unless one ends it. */
export async function runSingles(target: string, tasks: readonly ToWorker[], limits: Limits): Promise<SingleResult[]> {
  const results: SingleResult[] = [];
  await withWorkers(target, limits, async (workers) => {
    for (const task of tasks) {
      const end = await workers.run(task);
      if (end.type !== "answer") {
        const { fault, detail } = faultOf(end);
        results.push({ outcome: { type: "fault", fault, detail }, elapsedMs: Number.NaN, peakBytes: 0 });
        continue;
      }
      if (end.answer.type === "failed") {
        results.push({
          outcome: { type: "fault", fault: "crash", detail: end.answer.detail },
          elapsedMs: Number.NaN,
          peakBytes: 0,
        });
        continue;
      }
      if (end.answer.type !== "input") throw new Error("the worker answered another question");
      const { outcome, elapsedMs, peakBytes } = end.answer;
      const tooMuch = peakBytes > limits.maxBytes && outcome.type !== "fault";
      const memory = { type: "fault", fault: "memory", detail: `${Math.round(peakBytes / 2 ** 20)} MiB` } as const;
      results.push({ outcome: tooMuch ? memory : outcome, elapsedMs, peakBytes });
      if (tooMuch) await workers.replace();
    }
  });
  return results;
}

/** A worker process at a time. */
class Workers {
  readonly #target: string;
  readonly #folder: string;
  readonly #limits: Limits;
  #current: WorkerProcess | null = null;

  constructor(target: string, folder: string, limits: Limits) {
    this.#target = target;
    this.#folder = folder;
    this.#limits = limits;
  }

  async run(task: ToWorker): ReturnType<WorkerProcess["run"]> {
    this.#current ??= await WorkerProcess.start(this.#target, this.#folder, this.#limits.hangSeconds);
    const end = await this.#current.run(task);
    if (end.type !== "answer") this.#current = null;
    return end;
  }

  async replace(): Promise<void> {
    await this.#current?.close();
    this.#current = null;
  }
}

async function withWorkers(target: string, limits: Limits, use: (workers: Workers) => Promise<void>): Promise<void> {
  await withScratch(async (folder) => {
    const workers = new Workers(target, folder, limits);
    try {
      await use(workers);
    } finally {
      await workers.replace();
    }
  });
}
