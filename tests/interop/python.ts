/**
 * @file Runs a script of this folder in the reference environment, which CUSPRUN_PYTHON names.
 */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/**
 * Runs a Python script and parses the JSON object on the last line of its output.
 * @throws Error with the script's stderr where it fails, or where CUSPRUN_PYTHON is not set.
 */
export async function runPython<T>(script: string, args: readonly string[]): Promise<T> {
  const python = process.env["CUSPRUN_PYTHON"];
  if (python === undefined) throw new Error("Set CUSPRUN_PYTHON to a Python with tests/reference/requirements.txt installed");
  const path = fileURLToPath(new URL(script, import.meta.url));
  const { stdout } = await promisify(execFile)(python, [path, ...args], {
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" },
  });
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as T;
}
