/**
 * @file Writes a checkpoint as one GGUF file that llama.cpp, and what is built on it, loads and computes as the checkpoint says. Everything
 * that can be refused is refused before the first weight is read; memory holds a piece of one tensor.
 */

import { basename, extname } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import { elementCount } from "../tensor.ts";
import type { WrittenGgmlType } from "./ggml-quantize.ts";
import { fuseQueryKeyValue } from "./gguf-fused.ts";
import { ggufFormOf } from "./gguf-architecture.ts";
import { modelPairs } from "./gguf-model-keys.ts";
import { ggufTensors } from "./gguf-tensors.ts";
import { tokenizerPairs } from "./gguf-tokenizer-keys.ts";
import type { GgufFileType } from "./gguf-types.ts";
import { writeGguf } from "./gguf-writer.ts";
import { outputDType } from "./hugging-face.ts";

/** What is written, and how. */
export interface GgufOptions extends JobOptions {
  /** Default: the float type that most of the checkpoint's values have, BF16 for a quantised one. */
  readonly type?: GgufFileType;
  /** `general.name`; default: the file's name. */
  readonly name?: string;
  /** `general.license`, an identifier of the hub. */
  readonly license?: string | null;
}

/** What was written. */
export interface WrittenGgufFile {
  readonly type: GgufFileType;
  /** `general.architecture`. */
  readonly architecture: string;
  readonly parameters: number;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** Context that llama.cpp is told; less than the model's where it would compute longer ones otherwise. */
  readonly contextLength: number;
  /** Parameters by the type that they are stored in. */
  readonly parametersByType: Readonly<Partial<Record<WrittenGgmlType, number>>>;
}

/**
 * Writes the file; one that is there is replaced. The checkpoint must stay open.
 * @throws CusprunError `EXPORT_UNSUPPORTED` where llama.cpp has no form of the model; `TOKENIZER_MISSING`, `TOKENIZER_INVALID`,
 * `TOKENIZER_UNSUPPORTED`; `OUTPUT_DTYPE` for a value that the type cannot hold; `OUTPUT_UNWRITABLE`, `DISK_FULL`; the checkpoint's errors
 * while reading.
 */
export async function exportGguf(checkpoint: Checkpoint, out: string, options: GgufOptions = {}): Promise<WrittenGgufFile> {
  const type = options.type ?? outputDType(checkpoint.tensors.values());
  const form = ggufFormOf(checkpoint);
  const tokenizer = await checkpoint.readTokenizerFiles();
  if (tokenizer === null) throw noTokenizer(checkpoint.path);
  const tokens = tokenizerPairs(tokenizer, checkpoint.config, checkpoint.path);
  const placed = ggufTensors(checkpoint, form, type);
  const tensors = form.fusesQkv ? fuseQueryKeyValue(placed) : placed;
  const parameters = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const { name = basename(out, extname(out)), license = null } = options;
  const pairs = [...modelPairs(checkpoint.config, form, { name, license, parameters, fileType: type }), ...tokens];
  const fileBytes = await writeGguf(out, pairs, tensors, options);
  const parametersByType: Partial<Record<WrittenGgmlType, number>> = {};
  for (const tensor of tensors) {
    parametersByType[tensor.type] = (parametersByType[tensor.type] ?? 0) + elementCount(tensor.shape);
  }
  const { architecture, contextLength } = form;
  return { type, architecture, parameters, fileBytes, contextLength, parametersByType };
}

function noTokenizer(path: string): CusprunError {
  return new CusprunError("TOKENIZER_MISSING", {
    where: path,
    found: "no tokenizer",
    expected: "a tokenizer.json, which a GGUF file holds too",
    remedy: "Put the model's tokenizer.json and tokenizer_config.json beside its weights",
  });
}
