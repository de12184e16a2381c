/** @file Programs in processes of their own: whose time and memory are measured, or that are asked something. */

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const POLL_MS = 100;

/**
 * Runs a program to its end.
 * @param command program and arguments; what it says on stdout is dropped.
 * @param options.environment variables beside those of this process.
 * @param options.silent whether what it says on stderr is dropped too.
 * @returns seconds, and the largest resident memory in bytes (Linux; 0 elsewhere).
 * @throws Error where it ends with another status than 0.
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
 * Runs a script of this folder, and gives what it answers.
 * @param program that runs it.
 * @param options.request JSON on its stdin; the answer is JSON on its stdout.
 * @param options.environment variables beside those of this process.
 * @param options.silent whether what it says on stderr is dropped.
 * @throws Error where it ends with another status than 0.
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

/** Largest resident memory so far; 0 once it is gone. */
function peakOf(pid) {
  try {
    return 1024 * Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmHWM:\s+(\d+)/m)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
