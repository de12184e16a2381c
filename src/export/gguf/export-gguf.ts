/**
 * @file Writes a checkpoint as one GGUF file that llama.cpp, and programs built on it, load and compute correctly. A
 * model that comes from a GGUF file keeps its types, keys and tokenizer, and tensors of whole rows keep their bytes.
 * Everything that can be refused is refused before the first weight is read. Memory holds a piece of one tensor.
 */

import { basename, extname } from "node:path";
import type { Checkpoint, StoredDType } from "../../checkpoint/checkpoint.ts";
import type { JobOptions } from "../../progress.ts";
import { elementCount } from "../../tensor.ts";
import { fuseQueryKeyValue } from "./fused.ts";
import { type GgufForm, ggufFormOf } from "./architecture.ts";
import { carriedPairs } from "./carried-keys.ts";
import { hasTokenizer } from "./carried-tokenizer.ts";
import { architecturePairs, descriptionPairs } from "./model-keys.ts";
import { ggufTensors } from "./tensors.ts";
import { tokenizerPairs } from "./tokenizer-keys.ts";
import type { GgufFileType, GgufStorage } from "./types.ts";
import { type GgufPair, type GgufTensorSource, writeGguf } from "./writer.ts";
import { outputDType } from "../hugging-face/write-hugging-face.ts";
import { tokenizerMissing } from "../tokenizer-missing.ts";

/** Options of a GGUF export. */
export interface GgufOptions extends JobOptions {
  /**
   * Default: for a model from a GGUF file, each tensor in its stored type, with unchanged tensors byte for byte;
   * otherwise the float type of most of the checkpoint's values.
   */
  readonly type?: GgufFileType;
  /**
   * `general.name`; default: the name in the GGUF file that is read, otherwise the name of the file that is written.
   */
  readonly name?: string;
  /** `general.license`, an identifier of the hub. */
  readonly license?: string | null;
}

/** The written file. */
export interface WrittenGgufFile {
  readonly type: GgufStorage;
  /** `general.architecture`. */
  readonly architecture: string;
  readonly parameters: number;
  /** Size of the file in bytes. */
  readonly fileBytes: number;
  /** Context length in the header; less than the model's if llama.cpp would compute longer contexts differently. */
  readonly contextLength: number;
  /** Parameters by stored type. */
  readonly parametersByType: Readonly<Partial<Record<StoredDType, number>>>;
}

/**
 * Writes the file and replaces an existing one. The checkpoint must stay open.
 * @throws CusprunError `EXPORT_UNSUPPORTED` if llama.cpp cannot compute the model; `TOKENIZER_MISSING`,
 * `TOKENIZER_INVALID`, `TOKENIZER_UNSUPPORTED`; `OUTPUT_DTYPE` for a value that the type cannot hold;
 * `OUTPUT_UNWRITABLE`, `DISK_FULL`; the checkpoint's errors while reading.
 */
export async function exportGguf(checkpoint: Checkpoint, out: string, options: GgufOptions = {}): Promise<WrittenGgufFile> {
  const { storage, form, pairs, tensors, parameters } = await planGguf(checkpoint, out, options);
  const fileBytes = await writeGguf(out, pairs, tensors, options);
  const parametersByType: Partial<Record<StoredDType, number>> = {};
  for (const tensor of tensors) {
    parametersByType[tensor.type] = (parametersByType[tensor.type] ?? 0) + elementCount(tensor.shape);
  }
  const { architecture, contextLength } = form;
  return { type: storage, architecture, parameters, fileBytes, contextLength, parametersByType };
}

/** A file that will be written. */
export interface PlannedGguf {
  readonly storage: GgufStorage;
  readonly form: GgufForm;
  readonly pairs: readonly GgufPair[];
  readonly tensors: readonly GgufTensorSource[];
  readonly parameters: number;
}

/**
 * The header and the tensors of the file that `exportGguf` writes to `out`. Reads no weights.
 * @throws CusprunError the errors of `exportGguf` but those of reading and writing weights.
 */
export async function planGguf(checkpoint: Checkpoint, out: string, options: GgufOptions): Promise<PlannedGguf> {
  const { gguf: origin } = checkpoint;
  const storage: GgufStorage = options.type ?? (origin === undefined ? outputDType(checkpoint.tensors.values()) : "as stored");
  const form = ggufFormOf(checkpoint);
  const tokens = origin === undefined ? await tokenizerKeys(checkpoint) : null;
  if (origin !== undefined && !hasTokenizer(origin)) throw tokenizerMissing(checkpoint.path);
  const placed = ggufTensors(checkpoint, form, storage);
  const tensors = form.fusesQkv ? fuseQueryKeyValue(placed) : placed;
  const parameters = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const { name, license = null } = options;
  const description = { parameters, storage, license };
  const pairs =
    origin === undefined
      ? [
          ...descriptionPairs(form, { ...description, name: name ?? basename(out, extname(out)) }),
          ...architecturePairs(checkpoint.config, form),
          ...(tokens ?? []),
        ]
      : await carriedPairs(origin, checkpoint.config, form, { ...description, ...(name !== undefined && { name }) });
  return { storage, form, pairs, tensors, parameters };
}

/** How a model that will be exported differs from the checkpoint at hand. */
export interface GgufCheck {
  /** Its layers will differ in size, whether or not the checkpoint's do. Default false. */
  readonly layersDiffer?: boolean;
  /** The checkpoint whose tokenizer it is made from; default the checkpoint itself. */
  readonly tokenizerOf?: Checkpoint;
}

/**
 * Makes the checks of `exportGguf` without writing anything.
 * @throws CusprunError `EXPORT_UNSUPPORTED`, `TOKENIZER_MISSING`, `TOKENIZER_INVALID`, `TOKENIZER_UNSUPPORTED`.
 */
export async function checkGgufExport(
  checkpoint: Checkpoint,
  { layersDiffer = false, tokenizerOf = checkpoint }: GgufCheck = {},
): Promise<void> {
  ggufFormOf(checkpoint, layersDiffer);
  if (tokenizerOf.gguf === undefined) await tokenizerKeys(tokenizerOf);
  else if (!hasTokenizer(tokenizerOf.gguf)) throw tokenizerMissing(tokenizerOf.path);
}

async function tokenizerKeys(checkpoint: Checkpoint): Promise<GgufPair[]> {
  const files = await checkpoint.readTokenizerFiles();
  if (files === null) throw tokenizerMissing(checkpoint.path);
  return tokenizerPairs(files, checkpoint.config, checkpoint.path);
}
