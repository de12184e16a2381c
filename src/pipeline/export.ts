/**
 * @file The step from an expert, or any model that cusprun reads, to a file of another format.
 */

import { basename, dirname, join, resolve } from "node:path";
import { readBaseLicense } from "../export/base-license.ts";
import { exportGguf, type WrittenGgufFile } from "../export/gguf.ts";
import { modelfilePath, writeModelfile } from "../export/gguf-part.ts";
import type { GgufFileType } from "../export/gguf-types.ts";
import type { JobOptions } from "../progress.ts";
import { defined } from "./defined.ts";
import { withModel } from "./model.ts";
import { checkOutputFile } from "./output-file.ts";

/** Formats that a model is exported to. */
export const EXPORT_FORMATS = ["gguf"] as const;

/** The name of a format. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** What is exported, and to what. */
export interface ExportOptions extends JobOptions {
  /** A folder, a GGUF file, a Hugging Face id, or a name in the catalog. */
  readonly model: string;
  readonly to: ExportFormat;
  /** How tensors are stored; default: of a GGUF file as they are, otherwise the float type that most of the model's values have. */
  readonly type?: GgufFileType;
  /** The file to write. */
  readonly out: string;
  /** Replace a file that is there. Default false. */
  readonly overwrite?: boolean;
}

/** What was written. */
export interface ExportedModel extends WrittenGgufFile {
  readonly out: string;
  /** Ollama's Modelfile beside it. */
  readonly modelfile: string;
}

/**
 * Exports a model.
 * @throws CusprunError `OUTPUT_EXISTS`, and what `exportGguf`, `resolveModel` and `openCheckpoint` throw.
 */
export async function exportModel(options: ExportOptions): Promise<ExportedModel> {
  const { model, type, out, overwrite = false, onProgress, signal } = options;
  await checkOutputFile(out, overwrite);
  await checkOutputFile(modelfilePath(out), overwrite);
  const job = defined({ onProgress, signal });
  return withModel(model, job, async (checkpoint) => {
    const license = await readBaseLicense(checkpoint.path);
    // A GGUF file has a name in itself.
    const name = checkpoint.gguf === undefined ? basename(resolve(checkpoint.path)) : undefined;
    const written = await exportGguf(checkpoint, out, { ...job, ...defined({ type, name }), license });
    return { ...written, out, modelfile: join(dirname(out), await writeModelfile(checkpoint, out)) };
  });
}
