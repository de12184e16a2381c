/**
 * @file A Hugging Face folder (config.json, safetensors, tokenizer) → `Checkpoint`.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { CusprunError } from "../../errors.ts";
import { checkTensors } from "../check-tensors.ts";
import type { Checkpoint, RowRange, TensorInfo, TokenizerFiles } from "../checkpoint.ts";
import { checkFinite } from "../finite.ts";
import { modelChanged } from "../identity.ts";
import type { JsonObject } from "../../json.ts";
import type { Family } from "../../families/family.ts";
import { familyNamed, modelTensorName } from "../../families/index.ts";
import { hasAttentionBias, parseHfConfig } from "../config/hf-config.ts";
import { parseJsonObject, readJsonObject, readModelFile } from "../json-files.ts";
import { checkNeededTokenIds } from "../config/token-ids.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { SafetensorsEntry } from "./header.ts";
import { isFloatDType, type SafetensorsFile } from "./read.ts";
import { openWeights } from "./shards.ts";

/** Files of a tokenizer; existing ones are copied unchanged to an output. */
export const TOKENIZER_FILE_NAMES: readonly string[] = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
];

/** Tensors in old files that are computed from the config. */
const IGNORED_TENSORS = /\.rotary_emb\.inv_freq$/;
/** Block size for comparing two matrices. */
const COMPARE_BYTES = 2 ** 24;

/**
 * Opens a folder. Checks the config, all headers and all shapes, and reads no weights, except to compare a stored
 * output head with the embedding that it should be tied to.
 * @throws CusprunError `MODEL_FILE_MISSING`, `JSON_INVALID`, the codes of `parseHfConfig`, `openWeights` and
 * `checkTensors`, `TENSOR_DTYPE`, `CONFIG_INVALID`.
 */
export async function openSafetensors(folder: string): Promise<Checkpoint> {
  const { configJson, config } = await readModelConfig(folder);
  const generationPath = join(folder, "generation_config.json");
  const generationConfigJson = await readJsonObject(generationPath);
  checkNeededTokenIds(generationConfigJson ?? {}, config.vocabSize, generationPath);
  const { files, fileOfTensor } = await openWeights(folder);
  try {
    const tensors = new Map<string, TensorInfo>();
    for (const [name, file] of fileOfTensor) {
      if (!IGNORED_TENSORS.test(name)) tensors.set(name, tensorInfo(file, file.tensors.get(name)!));
    }
    const biases = hasAttentionBias(configJson, folder) ? "present" : "absent";
    checkTensors(config, tensors, folder, biases);
    if (config.tieWordEmbeddings) await checkTiedHead(folder, familyNamed(config.family), fileOfTensor);
    return new SafetensorsCheckpoint(folder, config, configJson, generationConfigJson, tensors, files, fileOfTensor);
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

/**
 * Reads a folder's config.json.
 * @throws CusprunError `MODEL_FILE_MISSING`, `JSON_INVALID`, and the codes of `parseHfConfig`.
 */
export async function readModelConfig(
  folder: string,
): Promise<{ readonly configJson: JsonObject; readonly config: ModelConfig }> {
  const path = join(folder, "config.json");
  const configJson = await readJsonObject(path);
  if (configJson !== null) return { configJson, config: parseHfConfig(configJson, path) };
  throw new CusprunError("MODEL_FILE_MISSING", {
    where: path,
    found: "no such file",
    expected: "the model's config.json",
    remedy: "Pass the folder of a model, a GGUF file, or the name of a model on the hub",
  });
}

class SafetensorsCheckpoint implements Checkpoint {
  readonly format = "safetensors";
  readonly path: string;
  readonly config: ModelConfig;
  readonly configJson: JsonObject;
  readonly generationConfigJson: JsonObject | null;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #files: readonly SafetensorsFile[];
  readonly #fileOfTensor: ReadonlyMap<string, SafetensorsFile>;
  #tokenizerDigests: ReadonlyMap<string, string> | null = null;

  constructor(
    path: string,
    config: ModelConfig,
    configJson: JsonObject,
    generationConfigJson: JsonObject | null,
    tensors: ReadonlyMap<string, TensorInfo>,
    files: readonly SafetensorsFile[],
    fileOfTensor: ReadonlyMap<string, SafetensorsFile>,
  ) {
    this.path = path;
    this.config = config;
    this.configJson = configJson;
    this.generationConfigJson = generationConfigJson;
    this.tensors = tensors;
    this.#files = files;
    this.#fileOfTensor = fileOfTensor;
  }

  async readFloat32(name: string, rows?: RowRange): Promise<Float32Array<ArrayBuffer>> {
    const values = await this.#fileOf(name).readFloat32(name, rows);
    return checkFinite(this.tensors.get(name)!, values, rows?.start);
  }

  async readBytes(name: string, rows?: RowRange): Promise<Uint8Array<ArrayBuffer>> {
    const file = this.#fileOf(name);
    return rows === undefined ? file.readBytes(name) : file.readRows(name, rows);
  }

  async readTokenizerFiles(): Promise<TokenizerFiles | null> {
    const files = new Map<string, Uint8Array>();
    for (const name of TOKENIZER_FILE_NAMES) {
      const bytes = await readModelFile(this.path, name);
      if (bytes !== null) files.set(name, bytes);
    }
    this.#checkTokenizer(files);
    const tokenizer = files.get("tokenizer.json");
    if (tokenizer === undefined) return null;
    const tokenizerJson = parseJsonObject(tokenizer, join(this.path, "tokenizer.json"));
    const config = files.get("tokenizer_config.json");
    const configJson = config === undefined ? {} : parseJsonObject(config, join(this.path, "tokenizer_config.json"));
    // Since transformers 4.53 the template is a separate file, which takes precedence over the key.
    const template = files.get("chat_template.jinja");
    const chatTemplate = template === undefined ? {} : { chat_template: new TextDecoder().decode(template) };
    return { tokenizerJson, tokenizerConfig: { ...configJson, ...chatTemplate }, files };
  }

  async changedFile(): Promise<string | null> {
    for (const file of this.#files) if (await file.hasChanged()) return file.path;
    return null;
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.close()));
  }

  /**
   * The files are read at the beginning, to encode the corpora, and again when the expert is written.
   * @throws CusprunError `MODEL_CHANGED`.
   */
  #checkTokenizer(files: ReadonlyMap<string, Uint8Array>): void {
    const digests = new Map([...files].map(([name, bytes]) => [name, createHash("sha256").update(bytes).digest("hex")]));
    const before = (this.#tokenizerDigests ??= digests);
    const changed = TOKENIZER_FILE_NAMES.find((name) => before.get(name) !== digests.get(name));
    if (changed !== undefined) throw modelChanged(join(this.path, changed));
  }

  #fileOf(name: string): SafetensorsFile {
    const file = this.tensors.has(name) ? this.#fileOfTensor.get(name) : undefined;
    if (file === undefined) throw new RangeError(`${this.path} has no tensor '${name}'`);
    return file;
  }
}

function tensorInfo(file: SafetensorsFile, entry: SafetensorsEntry): TensorInfo {
  const { name, dtype, shape } = entry;
  if (!isFloatDType(dtype)) {
    throw new CusprunError("TENSOR_DTYPE", {
      where: `${file.path}: tensor '${name}'`,
      found: dtype,
      expected: "F32, F16 or BF16",
      remedy: "Choose the unquantised model, or its GGUF file",
    });
  }
  return { name, shape, dtype, byteLength: entry.endByte - entry.startByte, file: file.path };
}

/**
 * A tied model may nevertheless store an output head. transformers 4 ignores it; transformers 5 uses it if it differs
 * from the embedding. If they are equal, it has no effect; if they differ, the checkpoint is ambiguous.
 */
async function checkTiedHead(folder: string, family: Family, fileOfTensor: ReadonlyMap<string, SafetensorsFile>): Promise<void> {
  const embedding = modelTensorName(family, "embedding");
  const outputHead = modelTensorName(family, "outputHead");
  const headFile = fileOfTensor.get(outputHead);
  const embeddingFile = fileOfTensor.get(embedding);
  if (headFile === undefined || embeddingFile === undefined) return;
  if (await sameBytes(headFile, outputHead, embeddingFile, embedding)) return;
  throw new CusprunError("CONFIG_INVALID", {
    where: `${join(folder, "config.json")}: tie_word_embeddings`,
    found: `true, but ${outputHead} differs from ${embedding}`,
    expected: "false, or no such tensor",
    remedy: "Set tie_word_embeddings to false in config.json if the model has its own output head, or delete the tensor",
  });
}

async function sameBytes(fileA: SafetensorsFile, nameA: string, fileB: SafetensorsFile, nameB: string): Promise<boolean> {
  const a = fileA.tensors.get(nameA)!;
  const b = fileB.tensors.get(nameB)!;
  const byteLength = a.endByte - a.startByte;
  if (a.dtype !== b.dtype || byteLength !== b.endByte - b.startByte) return false;
  for (let start = 0; start < byteLength; start += COMPARE_BYTES) {
    const end = Math.min(start + COMPARE_BYTES, byteLength);
    const [partA, partB] = await Promise.all([fileA.readBytes(nameA, start, end), fileB.readBytes(nameB, start, end)]);
    if (Buffer.compare(partA, partB) !== 0) return false;
  }
  return true;
}
