/**
 * @file The ONNX form of an expert: a folder inside the expert's, since transformers.js needs a config.json that
 * transformers cannot use if layers differ in size.
 */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { FormatWriter } from "../expert-folder.ts";
import type { WrittenPart } from "../model-card.ts";
import { planOnnx, type WrittenOnnxFolder, writeOnnxFolder } from "./export-onnx.ts";
import type { OnnxType } from "./types.ts";

/** Name of the folder. */
export const ONNX_PART_FOLDER = "transformers.js";

/** The written ONNX form. */
export interface WrittenOnnxPart extends WrittenPart, Omit<WrittenOnnxFolder, "files"> {
  readonly format: "onnx";
}

/**
 * A writer of an expert as an ONNX folder. Throws the errors of `writeOnnxFolder`.
 * @param expert as a checkpoint (`expertCheckpoint`).
 * @param type default: f32.
 */
export function onnxWriter(expert: Checkpoint, type: OnnxType = "f32"): FormatWriter<WrittenOnnxPart> {
  const label = `ONNX, ${type}`;
  return {
    plan: () => Promise.resolve({ label, ...planOnnx(expert, type) }),
    write: async (folder, job) => {
      const part = join(folder, ONNX_PART_FOLDER);
      await mkdir(part);
      const written = await writeOnnxFolder(expert, part, { ...job, type });
      return {
        ...written,
        format: "onnx",
        files: written.files.map((name) => `${ONNX_PART_FOLDER}/${name}`),
        label,
        bytes: { before: null, after: written.fileBytes },
        library: "transformers.js",
        howToLoad: HOW_TO_LOAD,
        limitations: [],
      };
    },
  };
}

const HOW_TO_LOAD = [
  `transformers.js 4.2 or newer and ONNX Runtime load \`${ONNX_PART_FOLDER}\`:`,
  "",
  "```js",
  'import { pipeline } from "@huggingface/transformers";',
  "",
  `const generator = await pipeline("text-generation", "./FOLDER/${ONNX_PART_FOLDER}");`,
  "```",
].join("\n");
