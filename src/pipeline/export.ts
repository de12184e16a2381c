/**
 * @file Export as one function: an expert, or any model that cusprun reads → a file or folder in another format.
 */

import { basename, dirname, join, resolve } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";
import { readBaseLicense } from "../export/base-license.ts";
import { exportGguf, type WrittenGgufFile } from "../export/gguf/export-gguf.ts";
import { modelfilePath, writeModelfile } from "../export/gguf/part.ts";
import { GGUF_FILE_TYPES, type GgufFileType } from "../export/gguf/types.ts";
import { huggingFaceWriter, type WrittenWeights } from "../export/hugging-face/write-hugging-face.ts";
import { exportOnnx, type WrittenOnnxFolder } from "../export/onnx/export-onnx.ts";
import { ONNX_TYPES, type OnnxType } from "../export/onnx/types.ts";
import type { JobOptions } from "../progress.ts";
import { wholeExpert } from "../surgery/expert.ts";
import { elementCount, type FloatDType } from "../tensor.ts";
import { defined } from "./defined.ts";
import { checkOutputFolder, writeFolderAtomically } from "../files.ts";
import { jobOptions } from "./job-options.ts";
import { withModel } from "./model.ts";
import { checkOutputFile } from "./output-file.ts";
import { checkExpertFolder } from "./writing-step.ts";

/** Formats to which a model can be exported. */
export const EXPORT_FORMATS = ["gguf", "onnx", "safetensors"] as const;

/** The name of a format. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** How each format can store the tensors. */
export const EXPORT_TYPES: {
  readonly gguf: readonly GgufFileType[];
  readonly onnx: readonly OnnxType[];
  readonly safetensors: readonly FloatDType[];
} = { gguf: GGUF_FILE_TYPES, onnx: ONNX_TYPES, safetensors: ["F32", "F16", "BF16"] };

/** How a format stores the tensors. */
export type ExportType = (typeof EXPORT_TYPES)[ExportFormat][number];

/** Which model is exported, and to which format. */
export interface ExportOptions extends JobOptions {
  /** A folder, a GGUF file, a Hugging Face id, or a name in the catalog. */
  readonly model: string;
  readonly to: ExportFormat;
  /**
   * How tensors are stored, one of the format's `EXPORT_TYPES`. Default for GGUF: the types of the input if that is a
   * GGUF file, otherwise the float type of most of the model's values; for ONNX: f32; for safetensors: the float type
   * of most values, or BF16 if the model is quantised.
   */
  readonly type?: ExportType;
  /** The file to write; for ONNX and safetensors, the folder. */
  readonly out: string;
  /** Replace an existing file or folder. Default false. */
  readonly overwrite?: boolean;
}

/** The exported file or folder. */
export type ExportedModel = { readonly out: string } & (
  | ({
      readonly to: "gguf";
      /** Ollama's Modelfile next to it. */
      readonly modelfile: string;
    } & WrittenGgufFile)
  | ({ readonly to: "onnx" } & WrittenOnnxFolder)
  | ({ readonly to: "safetensors"; readonly type: FloatDType } & Pick<WrittenOnnxFolder, "parameters" | "fileBytes" | "files">)
);

/**
 * Exports a model.
 * @throws CusprunError `USAGE` for a type that the format does not have; `OUTPUT_EXISTS`; the errors of `exportGguf`,
 *   `exportOnnx`, `huggingFaceWriter`, `resolveModel` and `openCheckpoint`.
 * @example
 * ```ts
 * import { exportModel } from "cusprun";
 *
 * await exportModel({ model: "experts/smollm2-en-medical", to: "gguf", type: "Q4_K_M", out: "medical.gguf" });
 * await exportModel({ model: "experts/smollm2-en-medical", to: "onnx", type: "q4", out: "medical-onnx" });
 * ```
 */
export async function exportModel(options: ExportOptions): Promise<ExportedModel> {
  const { model, to, type, out, overwrite = false } = options;
  const job = jobOptions(options);
  switch (to) {
    case "gguf": {
      const known = knownType(EXPORT_TYPES.gguf, type, to);
      await checkOutputFile(out, overwrite);
      await checkOutputFile(modelfilePath(out), overwrite);
      return withModel(model, job, async (checkpoint) => {
        const license = await readBaseLicense(checkpoint.path);
        // A GGUF file contains its name.
        const name = checkpoint.gguf === undefined ? basename(resolve(checkpoint.path)) : undefined;
        const written = await exportGguf(checkpoint, out, { ...job, ...defined({ type: known, name }), license });
        return { ...written, to, out, modelfile: join(dirname(out), await writeModelfile(checkpoint, out)) };
      });
    }
    case "onnx": {
      const known = knownType(EXPORT_TYPES.onnx, type, to);
      await checkOutputFolder(out, overwrite);
      return withModel(model, job, async (checkpoint) => {
        await checkExpertFolder({ out, overwrite }, checkpoint);
        return { ...(await exportOnnx(checkpoint, out, { ...job, ...defined({ type: known }), overwrite })), to, out };
      });
    }
    case "safetensors": {
      const known = knownType(EXPORT_TYPES.safetensors, type, to);
      await checkOutputFolder(out, overwrite);
      return withModel(model, job, async (checkpoint) => {
        await checkExpertFolder({ out, overwrite }, checkpoint);
        return { ...(await exportSafetensors(checkpoint, out, overwrite, known, job)), to, out };
      });
    }
    default:
      throw to satisfies never;
  }
}

async function exportSafetensors(
  checkpoint: Checkpoint,
  out: string,
  overwrite: boolean,
  dtype: FloatDType | undefined,
  job: JobOptions,
): Promise<Omit<Extract<ExportedModel, { readonly to: "safetensors" }>, "to" | "out">> {
  const expert = wholeExpert(checkpoint);
  const writer = huggingFaceWriter(expert, await checkpoint.readTokenizerFiles(), 0, defined({ dtype }));
  let written: WrittenWeights | null = null;
  await writeFolderAtomically(out, overwrite, async (folder) => void (written = await writer.write(folder, job)));
  const { dtype: type, bytes, files } = written!;
  const parameters = expert.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { type, parameters, fileBytes: bytes.after, files };
}

/**
 * A type as one of those of a format.
 * @throws CusprunError `USAGE` if the format does not have it.
 */
export function knownType<Type extends string>(
  types: readonly Type[],
  type: string | undefined,
  to: ExportFormat,
): Type | undefined {
  const known = types.find((candidate) => candidate === type);
  if (known === undefined && type !== undefined) {
    throw new CusprunError("USAGE", {
      where: "type",
      found: showValue(type),
      expected: `one of ${types.join(", ")}, the types of ${to}`,
      remedy: "Choose another --type, or another --to",
    });
  }
  return known;
}
