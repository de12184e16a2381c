/**
 * @file transformers.js on ONNX Runtime: loads folders with `onnx/model*.onnx`.
 */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { askChild, scriptPath } from "./child.ts";
import { absenceOfPackage, folderWithPackage } from "./find-package.ts";
import { type Runtime, RuntimeFailure, type RuntimeTarget } from "./runtime.ts";

const PACKAGE = "@huggingface/transformers";

/** transformers.js' name of a dtype, by the ending of the file's name. */
const DTYPES: Readonly<Record<string, { readonly dtype: string; readonly weights: RuntimeTarget["weights"] }>> = {
  "model.onnx": { dtype: "fp32", weights: "float" },
  "model_fp16.onnx": { dtype: "fp16", weights: "float" },
  "model_quantized.onnx": { dtype: "q8", weights: "requantized" },
  "model_q4.onnx": { dtype: "q4", weights: "requantized" },
  "model_q4f16.onnx": { dtype: "q4f16", weights: "requantized" },
};

/** transformers.js of Node. */
export const TRANSFORMERS_JS: Runtime = {
  name: "transformers.js",
  targetsOf: async (path) => {
    const names = await readdir(join(path, "onnx")).catch((): string[] => []);
    return Object.entries(DTYPES).flatMap(([name, { weights }]) =>
      names.includes(name) ? [{ label: `onnx/${name}`, path, weights }] : [],
    );
  },
  absence: () => Promise.resolve(folderWithPackage(PACKAGE) === null ? absenceOfPackage(PACKAGE) : null),
  ask: ({ label }, request, signal) => {
    const install = folderWithPackage(PACKAGE);
    if (install === null) throw new RuntimeFailure("not installed");
    const dtype = DTYPES[label.replace(/^onnx\//, "")]?.dtype;
    return askChild([process.execPath, scriptPath("transformers-js.mjs")], { ...request, install, dtype }, signal);
  },
};
