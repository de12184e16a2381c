/**
 * @file llama.cpp, through node-llama-cpp: loads GGUF files.
 */

import { basename, join } from "node:path";
import { openGguf } from "../checkpoint/gguf/open-gguf.ts";
import { readFolder, statPath } from "../regular-files.ts";
import { ggufModels } from "../checkpoint/gguf/parts.ts";
import { FLOAT_DTYPE_BYTES } from "../tensor.ts";
import { askChild, scriptPath } from "./child.ts";
import { absenceOfPackage, folderWithPackage } from "./find-package.ts";
import { type Runtime, RuntimeFailure, type RuntimeTarget } from "./runtime.ts";

const PACKAGE = "node-llama-cpp";
const PART = "an expert's folder or one of its files";

/** llama.cpp as bundled with node-llama-cpp. */
export const LLAMA_CPP: Runtime = {
  name: "llama.cpp",
  targetsOf: async (path) => {
    const found = await statPath(path, "MODEL_NOT_FOUND", PART);
    const names = found?.isDirectory() === true ? await readFolder(path, "MODEL_NOT_FOUND", PART) : null;
    const files = names === null ? [path] : ggufModels(names).map((name) => join(path, name));
    return Promise.all(files.map(targetOf));
  },
  absence: () => Promise.resolve(folderWithPackage(PACKAGE) === null ? absenceOfPackage(PACKAGE) : null),
  ask: (_target, request, signal) => {
    const install = folderWithPackage(PACKAGE);
    if (install === null) throw new RuntimeFailure("not installed");
    return askChild([process.execPath, scriptPath("llama-cpp.mjs")], { ...request, install }, signal);
  },
};

async function targetOf(path: string): Promise<RuntimeTarget> {
  const checkpoint = await openGguf(path);
  await checkpoint.close();
  const isQuantized = [...checkpoint.tensors.values()].some(({ dtype }) => !Object.hasOwn(FLOAT_DTYPE_BYTES, dtype));
  return { label: basename(path), path, reference: path, weights: isQuantized ? "quantized" : "float" };
}
