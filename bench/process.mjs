/**
 * @file Child processes: run a program and measure its time and memory, or send a script a request and read its answer.
 */

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const POLL_MS = 100;

/**
 * Runs a program to its end and measures it.
 * @param command program and arguments; its stdout is discarded.
 * @param options.environment variables in addition to those of this process.
 * @param options.silent whether its stderr is discarded too.
 * @returns seconds, and peak resident memory in bytes (Linux; 0 elsewhere).
 * @throws Error if the exit code is not 0.
 */
export async function runMeasured([program, ...args], { environment = {}, silent = false } = {}) {
  const startedAtMs = performance.now();
  const child = spawn(program, args, {
    stdio: ["ignore", "ignore", silent ? "ignore" : "inherit"],
    env: { ...process.env, ...environment },
  });
  let peakBytes = 0;
  const watch = setInterval(() => (peakBytes = Math.max(peakBytes, peakOf(child.pid))), POLL_MS);
  const [code, signal] = await once(child, "exit");
  clearInterval(watch);
  if (code !== 0) throw new Error(`${[program, ...args].join(" ")} ended with ${String(code ?? signal)}`);
  return { seconds: (performance.now() - startedAtMs) / 1000, peakBytes };
}

/**
 * Runs a script of this folder on a request and returns its answer.
 * @param program the interpreter.
 * @param script file name.
 * @param options.request written as JSON to its stdin; it answers in JSON on its stdout.
 * @param options.environment variables in addition to those of this process.
 * @param options.silent whether its stderr is discarded.
 * @throws Error if the exit code is not 0.
 */
export function askProgram(program, script, { request, environment = {}, silent = false }) {
  const answer = execFileSync(program, [join(import.meta.dirname, script)], {
    input: JSON.stringify(request),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["pipe", "pipe", silent ? "ignore" : "inherit"],
    env: { ...process.env, ...environment },
  });
  return JSON.parse(answer);
}

/** Peak resident memory of a process so far, in bytes; 0 after its end. */
function peakOf(pid) {
  try {
    return 1024 * Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmHWM:\s+(\d+)/m)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
