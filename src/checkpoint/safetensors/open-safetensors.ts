/**
 * @file A Hugging Face folder (config.json, safetensors, tokenizer) → `Checkpoint`.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { CusprunError } from "../../errors.ts";
import { readFolder, readHead } from "../../regular-files.ts";
import { checkTensors } from "../check-tensors.ts";
import type { Checkpoint, LeftOutTensors, RowRange, TensorInfo, TokenizerFiles } from "../checkpoint.ts";
import { checkFinite } from "../finite.ts";
import { modelChanged } from "../identity.ts";
import type { JsonObject } from "../../json.ts";
import type { Family } from "../../families/family.ts";
import { familyNamed, modelClass, modelTensorName } from "../../families/index.ts";
import { elementCount } from "../../tensor.ts";
import { hasAttentionBias } from "../config/hf-config.ts";
import { parseModelConfig } from "../config/text-config.ts";
import { checkNeededTokenIds } from "../config/token-ids.ts";
import { HEAD_BYTES, recogniseStandIn } from "../foreign-file.ts";
import { describeFolder } from "../folder-kinds.ts";
import { parseJsonObject, readJsonObject, readModelFile } from "../json-files.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { isFloatDType, type SafetensorsFile } from "./read.ts";
import { openWeights } from "./shards.ts";
import { findTextTensors } from "./tensor-names.ts";

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

/** Block size for comparing two matrices. */
const COMPARE_BYTES = 2 ** 24;

/**
 * Opens a folder. Checks the config, all headers and all shapes, and reads no weights, except to compare a stored
 * output head with the embedding that it should be tied to.
 * @throws CusprunError `MODEL_FILE_MISSING`, `JSON_INVALID`, the codes of `parseModelConfig`, `openWeights` and
 * `checkTensors`, `TENSOR_DTYPE`, `CONFIG_INVALID`.
 */
export async function openSafetensors(folder: string): Promise<Checkpoint> {
  const path = join(folder, "config.json");
  const json = await readConfigJson(folder);
  const { config: parsed, wrapper } = parseModelConfig(json, path);
  const generationPath = join(folder, "generation_config.json");
  const generationConfigJson = await readJsonObject(generationPath);
  checkNeededTokenIds(generationConfigJson ?? {}, parsed.vocabSize, generationPath);
  await refuseStandIns(folder);
  const { files, fileOfTensor } = await openWeights(folder);
  try {
    const family = familyNamed(parsed.family);
    const { stored, leftOut, isBare } = findTextTensors(fileOfTensor.keys(), family, wrapper, folder);
    const { configJson, config } = parseModelConfig(json, path, stored.has(modelTensorName(family, "outputHead")));
    const places = new Map([...stored].map(([name, storedName]) => [name, { file: fileOfTensor.get(storedName)!, storedName }]));
    const tensors = new Map([...places].map(([name, place]) => [name, tensorInfo(name, place)]));
    const biases = hasAttentionBias(configJson, folder) ? "present" : "absent";
    checkTensors(config, tensors, folder, biases);
    if (config.tieWordEmbeddings) await checkTiedHead(folder, family, places);
    return new SafetensorsCheckpoint(folder, {
      config,
      // The class of a model without its head is that of the body only.
      configJson: isBare ? { ...configJson, architectures: [modelClass(family)] } : configJson,
      generationConfigJson,
      tensors,
      files,
      places,
      leftOut: describeLeftOut(leftOut, fileOfTensor),
    });
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

/**
 * Reads a folder's config.json.
 * @throws CusprunError `MODEL_FILE_MISSING`, `JSON_INVALID`.
 */
export async function readConfigJson(folder: string): Promise<JsonObject> {
  const path = join(folder, "config.json");
  const json = await readJsonObject(path);
  if (json !== null) return json;
  const names = await readFolder(folder, "MODEL_FILE_MISSING", "a readable model folder");
  throw new CusprunError("MODEL_FILE_MISSING", {
    where: folder,
    expected: "a model's folder, with config.json",
    ...(await describeFolder(folder, names, "config")),
  });
}

/**
 * Refuses files of the tokenizer that are Git LFS pointers or web pages instead, which they would be copied as.
 * @throws CusprunError `TOKENIZER_INVALID`, `MODEL_FILE_MISSING`.
 */
async function refuseStandIns(folder: string): Promise<void> {
  for (const name of TOKENIZER_FILE_NAMES) {
    const path = join(folder, name);
    const head = await readHead(path, HEAD_BYTES, "MODEL_FILE_MISSING", "a readable file of the tokenizer");
    const standIn = head === null || head.length === 0 ? null : recogniseStandIn(head);
    if (standIn !== null)
      throw new CusprunError("TOKENIZER_INVALID", { where: path, expected: "a file of the tokenizer", ...standIn });
  }
}

/** Where a tensor is stored. */
interface TensorPlace {
  readonly file: SafetensorsFile;
  /** Its name in the file. */
  readonly storedName: string;
}

/** The parts of a checkpoint that opening it finds. */
interface OpenedFolder extends Pick<Checkpoint, "config" | "configJson" | "generationConfigJson" | "tensors" | "leftOut"> {
  readonly files: readonly SafetensorsFile[];
  /** By the family's names. */
  readonly places: ReadonlyMap<string, TensorPlace>;
}

class SafetensorsCheckpoint implements Checkpoint {
  readonly format = "safetensors";
  readonly path: string;
  readonly config: ModelConfig;
  readonly configJson: JsonObject;
  readonly generationConfigJson: JsonObject | null;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly leftOut: LeftOutTensors | null;
  readonly #files: readonly SafetensorsFile[];
  readonly #places: ReadonlyMap<string, TensorPlace>;
  #tokenizerDigests: ReadonlyMap<string, string> | null = null;

  constructor(path: string, opened: OpenedFolder) {
    this.path = path;
    this.config = opened.config;
    this.configJson = opened.configJson;
    this.generationConfigJson = opened.generationConfigJson;
    this.tensors = opened.tensors;
    this.leftOut = opened.leftOut ?? null;
    this.#files = opened.files;
    this.#places = opened.places;
  }

  async readFloat32(name: string, rows?: RowRange): Promise<Float32Array<ArrayBuffer>> {
    const { file, storedName } = this.#placeOf(name);
    return checkFinite(this.tensors.get(name)!, await file.readFloat32(storedName, rows), rows?.start);
  }

  async readBytes(name: string, rows?: RowRange): Promise<Uint8Array<ArrayBuffer>> {
    const { file, storedName } = this.#placeOf(name);
    return rows === undefined ? file.readBytes(storedName) : file.readRows(storedName, rows);
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

  #placeOf(name: string): TensorPlace {
    const place = this.#places.get(name);
    if (place === undefined) throw new RangeError(`${this.path} has no tensor '${name}'`);
    return place;
  }
}

function tensorInfo(name: string, { file, storedName }: TensorPlace): TensorInfo {
  const { dtype, shape, startByte, endByte } = file.tensors.get(storedName)!;
  if (!isFloatDType(dtype)) {
    throw new CusprunError("TENSOR_DTYPE", {
      where: `${file.path}: tensor '${storedName}'`,
      found: dtype,
      expected: "F32, F16 or BF16",
      remedy: "Choose the unquantised model, or its GGUF file",
    });
  }
  return { name, shape, dtype, byteLength: endByte - startByte, file: file.path };
}

/** Counts the tensors of other parts; null if there are none. */
function describeLeftOut(names: readonly string[], fileOfTensor: ReadonlyMap<string, SafetensorsFile>): LeftOutTensors | null {
  if (names.length === 0) return null;
  const entries = names.map((name) => fileOfTensor.get(name)!.tensors.get(name)!);
  return {
    parts: [...new Set(names.map((name) => name.replace(/^model\./, "").split(".", 1)[0]!))].toSorted(),
    tensors: names.length,
    parameters: entries.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    bytes: entries.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0),
  };
}

/**
 * A tied model may nevertheless store an output head. transformers 4 ignores it; transformers 5 uses it if it differs
 * from the embedding. If they are equal, it has no effect; if they differ, the checkpoint is ambiguous.
 */
async function checkTiedHead(folder: string, family: Family, places: ReadonlyMap<string, TensorPlace>): Promise<void> {
  const embedding = modelTensorName(family, "embedding");
  const outputHead = modelTensorName(family, "outputHead");
  const [headPlace, embeddingPlace] = [places.get(outputHead), places.get(embedding)];
  if (headPlace === undefined || embeddingPlace === undefined || (await sameBytes(headPlace, embeddingPlace))) return;
  throw new CusprunError("CONFIG_INVALID", {
    where: `${join(folder, "config.json")}: tie_word_embeddings`,
    found: `true, but ${outputHead} differs from ${embedding}`,
    expected: "false, or no such tensor",
    remedy: "Set tie_word_embeddings to false in config.json if the model has its own output head, or delete the tensor",
  });
}

async function sameBytes(
  { file: fileA, storedName: nameA }: TensorPlace,
  { file: fileB, storedName: nameB }: TensorPlace,
): Promise<boolean> {
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
