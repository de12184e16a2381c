/**
 * @file Python transformers: loads folders with safetensors. The interpreter is CUSPRUN_PYTHON, or `python3` by
 * default.
 */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { readFolder, statPath } from "../regular-files.ts";
import { askChild, scriptPath } from "./child.ts";
import type { Runtime } from "./runtime.ts";

const PYTHON_VARIABLE = "CUSPRUN_PYTHON";

/** transformers in the installed Python. */
export const TRANSFORMERS: Runtime = {
  name: "transformers",
  targetsOf: async (path) => {
    const found = await statPath(path, "MODEL_NOT_FOUND", "an expert's folder or one of its files");
    if (found?.isDirectory() !== true) return [];
    const names = await readFolder(path, "MODEL_NOT_FOUND", "a readable folder");
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
