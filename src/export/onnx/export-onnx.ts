/**
 * @file Writes a checkpoint as a folder that transformers.js' `pipeline("text-generation", folder)` and ONNX Runtime
 * load. Everything that can be refused is refused before the first weight is read; memory holds a piece of one tensor.
 */

import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { type OutputPlace, withOutputFolder } from "../../output-place.ts";
import type { JobOptions } from "../../progress.ts";
import type { PlannedPart } from "../expert-folder.ts";
import { onnxFolderFiles } from "./config.ts";
import { buildDecoder } from "./decoder.ts";
import { ONNX_TYPE_FORMS, type OnnxType } from "./types.ts";
import { DEFAULT_WEIGHT_LIMITS, type WeightLimits, writeWeights } from "./writer.ts";
import { WRITTEN_FILES_NAME } from "../../written-files.ts";
import { tokenizerMissing } from "../tokenizer-missing.ts";

/** Options of an export. */
export interface OnnxOptions extends JobOptions {
  /** Default: f32. */
  readonly type?: OnnxType;
  /** Replace an output of an earlier run. Default: false. */
  readonly overwrite?: boolean;
  /** When weights are written to files next to the model. Default: above 64 MiB, in files of 2 GB. */
  readonly limits?: WeightLimits;
}

/** The written folder. */
export interface WrittenOnnxFolder {
  readonly type: OnnxType;
  /** Number of values of the weights; a tied output head is counted once. */
  readonly parameters: number;
  /** Bytes of the model and of the files next to it. */
  readonly fileBytes: number;
  /** Paths in the folder, with slashes. */
  readonly files: readonly string[];
}

/** Folder of the model, by transformers.js' convention. */
const MODEL_FOLDER = "onnx";

/** Path of the model in a folder that `exportOnnx` wrote. */
export function onnxModelPath(out: string, type: OnnxType): string {
  return join(out, MODEL_FOLDER, ONNX_TYPE_FORMS[type].fileName);
}

/**
 * Writes the folder. The checkpoint must stay open.
 * @throws CusprunError `OUTPUT_EXISTS`; `TOKENIZER_MISSING` and errors of reading the tokenizer; `OUTPUT_DTYPE` for a
 * value that the type cannot hold; `OUTPUT_UNWRITABLE`, `DISK_FULL`; the checkpoint's errors while reading.
 */
export async function exportOnnx(checkpoint: Checkpoint, out: string, options: OnnxOptions = {}): Promise<WrittenOnnxFolder> {
  const { overwrite = false, ...rest } = options;
  return withOutputFolder(out, { overwrite }, (place) => exportOnnxTo(place, checkpoint, rest));
}

/** Writes the folder to a reserved place, as `exportOnnx`. */
export async function exportOnnxTo(
  place: OutputPlace,
  checkpoint: Checkpoint,
  options: Omit<OnnxOptions, "overwrite">,
): Promise<WrittenOnnxFolder> {
  let written: WrittenOnnxFolder | null = null;
  await place.write(async (folder) => void (written = await writeOnnxFolder(checkpoint, folder, options)));
  return { ...written!, files: [...written!.files, WRITTEN_FILES_NAME] };
}

/** The bytes of a model's weights in a type, and the tensors that give them. Reads no weights. */
export function planOnnx(checkpoint: Checkpoint, type: OnnxType): Pick<PlannedPart, "bytes" | "tensors"> {
  const tensors = buildDecoder(checkpoint, ONNX_TYPE_FORMS[type]).sources.map((source) => ({
    kind: source.weights.map((weight) => `${weight.type} [${weight.shape.length}]`).join(", "),
    bytes: source.weights.reduce((sum, { byteLength }) => sum + byteLength, 0),
    pieces: () => source.pieces(),
  }));
  return { bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0), tensors };
}

/**
 * Writes the files into an empty folder.
 * @throws CusprunError the errors of `exportOnnx` but those of the place.
 */
export async function writeOnnxFolder(
  checkpoint: Checkpoint,
  folder: string,
  options: Omit<OnnxOptions, "overwrite">,
): Promise<WrittenOnnxFolder> {
  const { type = "f32", limits = DEFAULT_WEIGHT_LIMITS, ...job } = options;
  const tokenizer = await checkpoint.readTokenizerFiles();
  if (tokenizer === null) throw tokenizerMissing(checkpoint.path);
  const form = ONNX_TYPE_FORMS[type];
  const { graph, sources, parameters } = buildDecoder(checkpoint, form);
  const files: string[] = [];
  let fileBytes = 0;
  const modelFolder = join(folder, MODEL_FOLDER);
  await mkdir(modelFolder);
  const { contents, dataFiles } = await writeWeights(modelFolder, form.fileName, sources, limits, job);
  for (const { name, shape, type: valueType } of sources.flatMap(({ weights }) => weights))
    graph.weight(name, shape, valueType, contents.get(name)!);
  await writeFile(join(modelFolder, form.fileName), graph.serialize());
  for (const [name, content] of onnxFolderFiles(checkpoint, tokenizer, form, dataFiles.length)) {
    await writeFile(join(folder, name), content);
    files.push(name);
  }
  for (const name of [form.fileName, ...dataFiles]) {
    files.push(`${MODEL_FOLDER}/${name}`);
    fileBytes += (await stat(join(modelFolder, name))).size;
  }
  return { type, parameters, fileBytes, files };
}
