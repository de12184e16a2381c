/**
 * @file Runs llama.cpp on a GGUF file, from the installation named by CUSPRUN_LLAMA_CPP.
 */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

/** Time limit per file, far above what any needs: a hanging runtime fails the test instead of blocking it. */
const TIMEOUT_MS = process.env["CUSPRUN_ALL_DATA"] === "1" ? 3_600_000 : 120_000;

/**
 * Runs a script in tests/reference: llama-logits.mjs, or another with the same arguments.
 * @throws Error if llama.cpp rejects the file, or CUSPRUN_LLAMA_CPP is not set.
 */
export async function runLlamaCpp<T>(file: string, request: object, script = "llama-logits.mjs"): Promise<T> {
  const install = process.env["CUSPRUN_LLAMA_CPP"];
  if (install === undefined)
    throw new Error("Set CUSPRUN_LLAMA_CPP to a folder in which tests/reference/package.json is installed");
  const path = join(import.meta.dirname, "../reference", script);
  const { stdout } = await promisify(execFile)(process.execPath, [path, install, file, JSON.stringify(request)], {
    maxBuffer: 256 * 1024 * 1024,
    timeout: TIMEOUT_MS,
  });
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as T;
}

/** Log softmax of each row of logits. */
export function logSoftmax(logits: ArrayLike<number>, vocabSize: number): number[] {
  const rows: number[] = [];
  for (let at = 0; at < logits.length; at += vocabSize) {
    const row = Array.from({ length: vocabSize }, (_, id) => logits[at + id]!);
    const largest = Math.max(...row);
    const log = largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
    rows.push(...row.map((logit) => logit - log));
  }
  return rows;
}
