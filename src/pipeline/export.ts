/**
 * @file Export as one function: an expert, or any model that cusprun reads → a file or folder in another format.
 */

import { basename, resolve } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkUnchanged, identifyModel } from "../checkpoint/identity.ts";
import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";
import { readBaseLicense } from "../export/base-license.ts";
import { exportGguf, type WrittenGgufFile } from "../export/gguf/export-gguf.ts";
import { modelfilePath, writeModelfile } from "../export/gguf/part.ts";
import { GGUF_FILE_TYPES, type GgufFileType } from "../export/gguf/types.ts";
import { huggingFaceWriter, type WrittenWeights } from "../export/hugging-face/write-hugging-face.ts";
import { exportOnnxTo, type WrittenOnnxFolder } from "../export/onnx/export-onnx.ts";
import { ONNX_TYPES, type OnnxType } from "../export/onnx/types.ts";
import { withOutputFile, withOutputFolder, type OutputPlace } from "../output-place.ts";
import type { JobOptions } from "../progress.ts";
import { wholeExpert } from "../surgery/expert.ts";
import { elementCount, type FloatDType } from "../tensor.ts";
import { WRITTEN_FILES_NAME } from "../written-files.ts";
import { defined } from "./defined.ts";
import { openedInputs, protectedInputs } from "./inputs.ts";
import { jobOptions } from "./job-options.ts";
import { withModel } from "./model.ts";
import { OUTPUT_FILES } from "./output-file.ts";

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
  /** Replace an output of an earlier run. Default false. */
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
 * @throws CusprunError `USAGE` for a type that the format does not have; `OUTPUT_EXISTS`; `MODEL_CHANGED`; the errors
 *   of `exportGguf`, `exportOnnx`, `huggingFaceWriter`, `identifyModel`, `resolveModel` and `openCheckpoint`.
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
  const reserving = { overwrite, inputs: protectedInputs(options) };
  /** Opens the model once the place is reserved. */
  const withPlaceAndModel = <T>(work: (place: OutputPlace, checkpoint: Checkpoint) => Promise<T>): Promise<T> =>
    withOutputFolder(out, reserving, (place) =>
      withModel(model, job, async (checkpoint) => {
        return work(await prepare(place, checkpoint, job), checkpoint);
      }),
    );
  switch (to) {
    case "gguf": {
      const known = knownType(EXPORT_TYPES.gguf, type, to);
      return withOutputFile(out, { ...OUTPUT_FILES.gguf, ...reserving }, (place) =>
        withOutputFile(modelfilePath(out), { ...OUTPUT_FILES.modelfile, ...reserving }, (companion) =>
          withModel(model, job, async (checkpoint) => {
            const prepared = await prepare(place, checkpoint, job);
            return { ...(await exportGgufTo(prepared, companion, checkpoint, known, job)), to, out };
          }),
        ),
      );
    }
    case "onnx": {
      const known = knownType(EXPORT_TYPES.onnx, type, to);
      return withPlaceAndModel(async (place, checkpoint) => {
        return { ...(await exportOnnxTo(place, checkpoint, { ...job, ...defined({ type: known }) })), to, out };
      });
    }
    case "safetensors": {
      const known = knownType(EXPORT_TYPES.safetensors, type, to);
      return withPlaceAndModel(async (place, checkpoint) => {
        return { ...(await exportSafetensorsTo(place, checkpoint, known, job)), to, out };
      });
    }
    default:
      throw to satisfies never;
  }
}

/**
 * Protects the model's files, and checks all weights before anything is written.
 * @returns the place, whose output is kept only if the model did not change meanwhile.
 * @throws CusprunError `OUTPUT_EXISTS`; the errors of `identifyModel`. Its `write` also throws `MODEL_CHANGED`.
 */
async function prepare(place: OutputPlace, checkpoint: Checkpoint, job: JobOptions): Promise<OutputPlace> {
  await place.protect(openedInputs(checkpoint, null));
  await identifyModel(checkpoint, job);
  return {
    path: place.path,
    protect: (inputs) => place.protect(inputs),
    write: (write) =>
      place.write(async (temporary) => {
        await write(temporary);
        await checkUnchanged(checkpoint);
      }),
  };
}

async function exportGgufTo(
  place: OutputPlace,
  companion: OutputPlace,
  checkpoint: Checkpoint,
  type: GgufFileType | undefined,
  job: JobOptions,
): Promise<Omit<Extract<ExportedModel, { readonly to: "gguf" }>, "to" | "out">> {
  const license = await readBaseLicense(checkpoint.path);
  // A GGUF file contains its name.
  const name = checkpoint.gguf === undefined ? basename(resolve(checkpoint.path)) : undefined;
  let written: WrittenGgufFile | null = null;
  await companion.write(
    async (path) => void (await writeModelfile(checkpoint, place.path, path)),
    (announce) =>
      place.write(async (path) => {
        written = await exportGguf(checkpoint, path, { ...job, ...defined({ type, name }), license });
        await announce(path, place.path);
      }),
  );
  return { ...written!, modelfile: companion.path };
}

async function exportSafetensorsTo(
  place: OutputPlace,
  checkpoint: Checkpoint,
  dtype: FloatDType | undefined,
  job: JobOptions,
): Promise<Omit<Extract<ExportedModel, { readonly to: "safetensors" }>, "to" | "out">> {
  const expert = wholeExpert(checkpoint);
  const writer = huggingFaceWriter(expert, await checkpoint.readTokenizerFiles(), 0, defined({ dtype }));
  let written: WrittenWeights | null = null;
  await place.write(async (folder) => void (written = await writer.write(folder, job)));
  const { dtype: type, bytes, files } = written!;
  const parameters = expert.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { type, parameters, fileBytes: bytes.after, files: [...files, WRITTEN_FILES_NAME] };
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
