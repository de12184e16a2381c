/**
 * @file Spawns the compiled command and collects its output.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The compiled command. */
export const MAIN: string = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** The result of a finished command. */
export interface Finished {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running command. */
export interface Running {
  readonly process: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Resolves once stderr contains a text; rejects if the command ends first. */
  stderrHolds(text: string): Promise<void>;
}

/** Starts `cusprun`. */
export function startCommand(args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}): Running {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let heard: (() => void) | null = null;
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    heard?.();
  });
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode, signal) => resolve({ exitCode, signal, stdout, stderr }));
  });
  const stderrHolds = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      heard = () => (stderr.includes(text) ? resolve() : undefined);
      heard();
      void finished.then(() => reject(new Error(`ended without '${text}' on stderr:\n${stderr}`)));
    });
  return { process: child, finished, stderrHolds };
}

/** Runs `cusprun` until it ends. */
export function runCommand(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Finished> {
  return startCommand(args, options).finished;
}
