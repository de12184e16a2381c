/**
 * @file Python transformers: loads folders with safetensors. The interpreter is CUSPRUN_PYTHON, or `python3` by
 * default.
 */

import { execFile } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { askChild, scriptPath } from "./child.ts";
import type { Runtime } from "./runtime.ts";

const PYTHON_VARIABLE = "CUSPRUN_PYTHON";

/** transformers in the installed Python. */
export const TRANSFORMERS: Runtime = {
  name: "transformers",
  targetsOf: async (path) => {
    if (!(await stat(path)).isDirectory()) return [];
    const names = await readdir(path);
    return names.some((name) => name.endsWith(".safetensors"))
      ? [{ label: "safetensors", path, reference: path, weights: "float" }]
      : [];
  },
  absence: async () => {
    const command = python();
    // Isolated mode: ignores the working directory and the user's PYTHON* variables.
    const found = await promisify(execFile)(command, ["-I", "-c", "import torch, transformers"]).catch((error: Error) => error);
    if (!(found instanceof Error)) return null;
    return {
      reason: `${command} has no torch and transformers; install them, or set ${PYTHON_VARIABLE} to a Python that has them`,
    };
  },
  ask: (_target, request, signal) => askChild([python(), "-I", scriptPath("transformers_logits.py")], { ...request }, signal),
};

function python(): string {
  return process.env[PYTHON_VARIABLE] || "python3";
}
