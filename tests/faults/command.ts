/**
 * @file Runs the compiled command, with a fault at a chosen moment.
 */

import { spawn } from "node:child_process";
import { setPriority } from "node:os";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const PRELOAD = fileURLToPath(new URL("preload.mjs", import.meta.url));
const FAST_CLOCK = fileURLToPath(new URL("fast-clock.mjs", import.meta.url));

/** Other work on the machine comes first. */
const NICENESS = 10;

/** A run that has not ended after this long hangs. One takes a second or two, and ten times that on a busy machine. */
const HANG_MS = 180_000;

export type Signal = "SIGKILL" | "SIGINT" | "SIGTERM";
export type Edge = "before" | "during" | "after";

/** A change of a file that another program makes. */
export interface Change {
  readonly kind: "truncate" | "append" | "rewrite" | "replace" | "remove";
  readonly path: string;
  /** The file with the new bytes, or those to append. */
  readonly from: string;
}

/** What happens at which call of the file system; see preload.mjs. */
export interface FaultAtCall {
  readonly calls: "write" | "read";
  /** Absolute path of the file or folder whose calls count. */
  readonly under: string;
  /** A file that gets a line per call. */
  readonly trace?: string;
  /** Number of the call, from 1. */
  readonly at?: number;
  readonly edge?: Edge;
  readonly signal?: Signal;
  readonly change?: Change;
}

/** What a run finds around it. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string>>;
  /** The current folder. */
  readonly cwd: string;
}

/** What happens to a run. */
export interface Fault {
  readonly atCall?: FaultAtCall;
  /** Signals at times after the start, in milliseconds. */
  readonly atTimes?: readonly { readonly afterMs: number; readonly signal: Signal }[];
}

/** A run that has ended. */
export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
  /** From the first signal to the end; null without one, or if it came from within the run. */
  readonly stoppingMs: number | null;
  /** Whether it had to be killed because it did not end. */
  readonly hung: boolean;
}

/** Runs `cusprun` to its end. Standard error is a pipe, so nothing is drawn. */
export function runToEnd(args: readonly string[], surroundings: Surroundings, fault: Fault = {}): Promise<Ended> {
  const { atCall, atTimes = [] } = fault;
  const preload = ["--import", FAST_CLOCK, ...(atCall === undefined ? [] : ["--import", PRELOAD])];
  const startedAtMs = performance.now();
  const child = spawn(process.execPath, [...preload, MAIN, ...args], {
    cwd: surroundings.cwd,
    env: { PATH: process.env["PATH"] ?? "", ...surroundings.env, ...(atCall && { CUSPRUN_FAULT: JSON.stringify(atCall) }) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (child.pid !== undefined) setPriority(child.pid, NICENESS);
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => void (texts[name] += text));
  let signalledAtMs: number | null = null;
  let hung = false;
  const timers = atTimes.map(({ afterMs, signal }) =>
    setTimeout(() => {
      signalledAtMs ??= performance.now();
      child.kill(signal);
    }, afterMs),
  );
  timers.push(
    setTimeout(() => {
      hung = true;
      child.kill("SIGKILL");
    }, HANG_MS),
  );
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode, signal) => {
      for (const timer of timers) clearTimeout(timer);
      const endedAtMs = performance.now();
      const stoppingMs = signalledAtMs === null ? null : endedAtMs - signalledAtMs;
      resolve({ exitCode, signal, ...texts, elapsedMs: endedAtMs - startedAtMs, stoppingMs, hung });
    });
  });
}
