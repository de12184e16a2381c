/**
 * @file A GGUF file as a `Checkpoint`, with the names, row order and norm weights of the Hugging Face model. Values are
 * dequantised when they are read.
 */

import type { FileHandle } from "node:fs/promises";
import { CusprunError } from "../../errors.ts";
import { narrowFromFloat32 } from "../../float-convert.ts";
import { elementCount, FLOAT_DTYPE_BYTES } from "../../tensor.ts";
import type { FloatDType } from "../../tensor.ts";
import { checkTensors } from "../check-tensors.ts";
import type { Checkpoint, GgufOrigin, RowRange, StoredDType, TensorInfo, TokenizerFiles } from "../checkpoint.ts";
import { stampOf } from "../../file-stamp.ts";
import { checkFinite } from "../finite.ts";
import { dequantizeInto } from "./ggml-dequantize.ts";
import { configFromGguf, type GgufConfig } from "./config.ts";
import { readFully } from "./cursor.ts";
import { CONVERT_AGAIN } from "./fields.ts";
import { splitQueryKeyValue } from "./fused.ts";
import type { GgufTensor } from "./layout.ts";
import { type GgufTensorMapping, mapGgufTensor, ROPE_FACTORS_NAME } from "./names.ts";
import { closeParts, type GgufPart, type GgufParts, openGgufParts } from "./parts.ts";
import { readRows, rowFormat } from "./rows.ts";
import { tokenizerFilesFromGguf } from "./tokenizer.ts";
import { hasAttentionBias } from "../config/hf-config.ts";
import { MAX_SIZES } from "../config/model-config-check.ts";
import type { ModelConfig } from "../config/model-config.ts";

/** A tensor of a file and the Hugging Face tensor that it corresponds to. */
interface MappedTensor {
  readonly part: GgufPart;
  readonly stored: GgufTensor;
  readonly mapping: GgufTensorMapping;
  readonly info: TensorInfo;
}

/**
 * Opens a GGUF model. Reads and checks headers and the few values of `rope_freqs.weight`, but no weights.
 *
 * The values differ from the file's in three ways. Rows of q and k, weights and biases, are reordered from llama.cpp's
 * rotary order to Hugging Face's. 1 is subtracted from the norm weights of families with `normOffset` (in f32, as in
 * transformers). `rope_freqs.weight` is part of the config instead of a tensor.
 * @param path the file; of a model in several parts, any part.
 * @throws CusprunError those of `openGgufParts`, `configFromGguf` and `checkTensors`; `TENSOR_UNKNOWN`;
 * `GGUF_TENSOR_TYPE` for a quantised vector.
 */
export async function openGguf(path: string): Promise<Checkpoint> {
  const opened = await openGgufParts(path);
  try {
    const ropeFactors = await readRopeFactors(opened.parts);
    const made = configFromGguf(opened.metadata, opened.tensors, ropeFactors, path);
    const tensors = new Map(opened.parts.flatMap((part) => mapTensors(part, made)));
    const infos = new Map([...tensors].map(([name, { info }]) => [name, info]));
    checkTensors(made.config, infos, path, hasAttentionBias(made.configJson, path) ? "present" : "absent");
    return new GgufCheckpoint(path, opened, made, tensors, infos);
  } catch (error) {
    await closeParts(opened.parts);
    throw error;
  }
}

/** The values of `rope_freqs.weight`, checked; null if no part has this tensor. */
async function readRopeFactors(parts: readonly GgufPart[]): Promise<readonly number[] | null> {
  const part = parts.find(({ header }) => header.tensors.has(ROPE_FACTORS_NAME));
  if (part === undefined) return null;
  const { file, path } = part;
  const tensor = part.header.tensors.get(ROPE_FACTORS_NAME)!;
  if (elementCount(tensor.shape) <= MAX_SIZES.headDim / 2 && tensor.dtype === "F32") {
    const factors = [...(await readValues(file, tensor, { start: 0, end: rowFormat(tensor).rowCount }, null, path))];
    if (factors.every((factor) => Number.isFinite(factor) && factor > 0)) return factors;
  }
  throw new CusprunError("GGUF_UNSUPPORTED", {
    where: `${path}: tensor '${ROPE_FACTORS_NAME}'`,
    found: `shape [${tensor.shape.join(", ")}], ${tensor.dtype}`,
    expected: "positive F32 factors, half as many as the head size",
    remedy: CONVERT_AGAIN,
  });
}

/** The tensors of one part by Hugging Face's name. */
function mapTensors(part: GgufPart, { family, architecture, config }: GgufConfig): [string, MappedTensor][] {
  const { path } = part;
  const tensors: [string, MappedTensor][] = [];
  for (const stored of splitQueryKeyValue(part.header.tensors, config).values()) {
    if (stored.name === ROPE_FACTORS_NAME) continue;
    const { shape, dtype, byteLength } = stored;
    const mapping = mapGgufTensor(stored.name, family, architecture);
    if (mapping === null) {
      throw new CusprunError("TENSOR_UNKNOWN", {
        where: `${path}: tensor '${stored.name}'`,
        found: "a tensor that cusprun does not know",
        expected: `only the tensors of a ${family.name} model, since cusprun does not support others`,
        remedy: "Choose a model of a supported family",
      });
    }
    if (shape.length === 1 && !isFloatDType(dtype)) {
      throw new CusprunError("GGUF_TENSOR_TYPE", {
        where: `${path}: tensor '${stored.name}'`,
        found: `a vector of type ${dtype}`,
        expected: "F32, F16 or BF16, because llama.cpp quantises only matrices",
        remedy: "Choose another file of the same model",
      });
    }
    const info = { name: mapping.name, shape, dtype, byteLength, file: path };
    tensors.push([mapping.name, { part, stored, mapping, info }]);
  }
  return tensors;
}

function isFloatDType(dtype: StoredDType): dtype is FloatDType {
  return Object.hasOwn(FLOAT_DTYPE_BYTES, dtype);
}

class GgufCheckpoint implements Checkpoint {
  readonly path: string;
  readonly format = "gguf";
  readonly config: ModelConfig;
  readonly configJson: Readonly<Record<string, unknown>>;
  readonly generationConfigJson: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly gguf: GgufOrigin;
  readonly #parts: readonly GgufPart[];
  readonly #mapped: ReadonlyMap<string, MappedTensor>;

  constructor(
    path: string,
    { parts, metadata }: GgufParts,
    made: GgufConfig,
    mapped: ReadonlyMap<string, MappedTensor>,
    tensors: ReadonlyMap<string, TensorInfo>,
  ) {
    this.path = path;
    this.config = made.config;
    this.configJson = made.configJson;
    this.generationConfigJson = made.generationConfigJson;
    this.tensors = tensors;
    this.#parts = parts;
    this.#mapped = mapped;
    this.gguf = {
      metadata,
      readValue: (key) => this.#readValue(key),
      rowsAsStored: (name) => {
        const tensor = this.#find(name);
        return (rows) => this.#readStoredRows(tensor, rows);
      },
      tokenIds: null,
    };
  }

  async readFloat32(name: string, rows?: RowRange): Promise<Float32Array<ArrayBuffer>> {
    const { part, stored, mapping, info } = this.#find(name);
    const { start, end } = rows ?? { start: 0, end: rowFormat(stored).rowCount };
    checkRows(stored, { start, end });
    const values = await readValues(part.file, stored, { start, end }, this.#interleavedHeadDim(mapping), part.path);
    if (mapping.storedOffset !== 0) {
      for (let i = 0; i < values.length; i++) values[i]! -= mapping.storedOffset;
    }
    return checkFinite(info, values, start);
  }

  async readBytes(name: string, rows?: RowRange): Promise<Uint8Array<ArrayBuffer>> {
    const tensor = this.#find(name);
    const { stored, mapping } = tensor;
    if (!isFloatDType(stored.dtype))
      throw new RangeError(`tensor '${name}' is ${stored.dtype}; only float dtypes can be read as bytes`);
    if (mapping.storedOffset !== 0) return narrowFromFloat32(await this.readFloat32(name, rows), stored.dtype);
    return this.#readStoredRows(tensor, rows ?? { start: 0, end: rowFormat(stored).rowCount });
  }

  async readTokenizerFiles(): Promise<TokenizerFiles | null> {
    const { metadata } = this.gguf;
    return metadata.has("tokenizer.ggml.model") ? tokenizerFilesFromGguf(metadata, this.path) : null;
  }

  async changedFile(): Promise<string | null> {
    for (const { file, stamp, path } of this.#parts) if ((await stampOf(file)) !== stamp) return path;
    return null;
  }

  async close(): Promise<void> {
    await closeParts(this.#parts);
  }

  async #readStoredRows({ part, stored, mapping }: MappedTensor, rows: RowRange): Promise<Uint8Array<ArrayBuffer>> {
    checkRows(stored, rows);
    const { rowBytes } = rowFormat(stored);
    const bytes = new Uint8Array((rows.end - rows.start) * rowBytes);
    await readRows(part.file, stored, rows, this.#interleavedHeadDim(mapping), part.path, (piece, firstRow) => {
      bytes.set(piece, firstRow * rowBytes);
    });
    return bytes;
  }

  async #readValue(key: string): Promise<Uint8Array<ArrayBuffer>> {
    const { file, path, header } = this.#parts[0]!;
    const range = header.valueRanges.get(key);
    if (range === undefined) throw new RangeError(`${this.path} has no key '${key}'`);
    const bytes = new Uint8Array(range.endByte - range.startByte);
    await readFully(file, bytes, range.startByte, path);
    return bytes;
  }

  #find(name: string): MappedTensor {
    const tensor = this.#mapped.get(name);
    if (tensor === undefined) throw new RangeError(`${this.path} has no tensor '${name}'`);
    return tensor;
  }

  #interleavedHeadDim(mapping: GgufTensorMapping): number | null {
    return mapping.isInterleaved ? this.config.headDim : null;
  }
}

/** @throws RangeError (a defect of the caller) for rows outside the tensor. */
function checkRows(tensor: GgufTensor, { start, end }: RowRange): void {
  const { rowCount } = rowFormat(tensor);
  if (Number.isInteger(start) && Number.isInteger(end) && start >= 0 && end >= start && end <= rowCount) return;
  throw new RangeError(`rows ${start} to ${end} are not inside tensor '${tensor.name}' of ${rowCount} rows`);
}

/** Dequantised values of rows, [rows, row length], in Hugging Face's row order. */
async function readValues(
  file: FileHandle,
  tensor: GgufTensor,
  rows: RowRange,
  interleavedHeadDim: number | null,
  path: string,
): Promise<Float32Array<ArrayBuffer>> {
  const { rowLength, rowBytes } = rowFormat(tensor);
  const values = new Float32Array((rows.end - rows.start) * rowLength);
  await readRows(file, tensor, rows, interleavedHeadDim, path, (bytes, firstRow) => {
    const count = (bytes.length / rowBytes) * rowLength;
    const first = firstRow * rowLength;
    dequantizeInto(tensor.dtype, bytes, values.subarray(first, first + count));
  });
  return values;
}
