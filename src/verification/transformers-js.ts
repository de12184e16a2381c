/**
 * @file transformers.js on ONNX Runtime: loads folders with `onnx/model*.onnx`, either alone or inside an expert's
 * folder.
 */

import { readdir } from "node:fs/promises";
import { basename, join, posix } from "node:path";
import { ONNX_PART_FOLDER } from "../export/onnx/part.ts";
import { askChild, scriptPath } from "./child.ts";
import { absenceOfPackage, folderWithPackage } from "./find-package.ts";
import { type Runtime, RuntimeFailure, type RuntimeTarget } from "./runtime.ts";

const PACKAGE = "@huggingface/transformers";

/** transformers.js's dtype and the kind of weights, by file name. */
const DTYPES: Readonly<Record<string, { readonly dtype: string; readonly weights: RuntimeTarget["weights"] }>> = {
  "model.onnx": { dtype: "fp32", weights: "float" },
  "model_fp16.onnx": { dtype: "fp16", weights: "float" },
  "model_quantized.onnx": { dtype: "q8", weights: "requantized" },
  "model_q4.onnx": { dtype: "q4", weights: "requantized" },
  "model_q4f16.onnx": { dtype: "q4f16", weights: "requantized" },
};

/** transformers.js in Node. */
export const TRANSFORMERS_JS: Runtime = {
  name: "transformers.js",
  targetsOf: async (path) => {
    const found: RuntimeTarget[] = [];
    for (const part of [".", ONNX_PART_FOLDER]) {
      const names = await readdir(join(path, part, "onnx")).catch((): string[] => []);
      for (const [name, { weights }] of Object.entries(DTYPES)) {
        if (names.includes(name))
          found.push({ label: posix.join(part, "onnx", name), path: join(path, part), reference: path, weights });
      }
    }
    return found;
  },
  absence: () => Promise.resolve(folderWithPackage(PACKAGE) === null ? absenceOfPackage(PACKAGE) : null),
  ask: ({ label }, request, signal) => {
    const install = folderWithPackage(PACKAGE);
    if (install === null) throw new RuntimeFailure("not installed");
    const dtype = DTYPES[basename(label)]?.dtype;
    return askChild([process.execPath, scriptPath("transformers-js.mjs")], { ...request, install, dtype }, signal);
  },
};
