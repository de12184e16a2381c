/**
 * @file Runs a script of this folder in the reference environment, named by CUSPRUN_PYTHON, or in the one with
 * transformers 4, named by CUSPRUN_PYTHON_TRANSFORMERS_4.
 */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The environment of tests/reference/requirements.txt. */
export const REFERENCE = "CUSPRUN_PYTHON";
/** The same environment, with the packages of tests/reference/requirements-transformers-4.txt instead. */
export const TRANSFORMERS_4 = "CUSPRUN_PYTHON_TRANSFORMERS_4";

/**
 * Runs a Python script and parses the JSON object on the last line of its output.
 * @throws Error with the script's stderr if it fails, or if the variable is not set.
 */
export async function runPython<T>(script: string, args: readonly string[], environment = REFERENCE): Promise<T> {
  const python = process.env[environment];
  if (python === undefined) throw new Error(`Set ${environment} to a Python environment created as in .ci/run`);
  const path = fileURLToPath(new URL(script, import.meta.url));
  const running = promisify(execFile)(python, [path, ...args], {
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" },
  });
  // transformers asks on stdin whether to trust a folder's code, and would wait for an answer.
  running.child.stdin?.end();
  const { stdout } = await running;
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as T;
}
