/**
 * @file A GGUF file as a `Checkpoint`, with the names, row order and norm weights of the Hugging Face model. Values are
 * dequantised when they are read.
 */

import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { CusprunError } from "../../errors.ts";
import { narrowFromFloat32 } from "../../float-convert.ts";
import { elementCount, FLOAT_DTYPE_BYTES } from "../../tensor.ts";
import type { FloatDType } from "../../tensor.ts";
import { checkTensors } from "../check-tensors.ts";
import type { Checkpoint, GgufOrigin, RowRange, StoredDType, TensorInfo, TokenizerFiles } from "../checkpoint.ts";
import { stampOf } from "../file-stamp.ts";
import { checkFinite } from "../finite.ts";
import { dequantizeInto } from "./ggml-dequantize.ts";
import { configFromGguf, type GgufConfig } from "./config.ts";
import { readFully } from "./cursor.ts";
import { CONVERT_AGAIN } from "./fields.ts";
import { splitQueryKeyValue } from "./fused.ts";
import { type GgufHeader, readGgufHeader } from "./header.ts";
import type { GgufTensor } from "./layout.ts";
import { type GgufTensorMapping, mapGgufTensor, ROPE_FACTORS_NAME } from "./names.ts";
import { readRows, rowFormat } from "./rows.ts";
import { tokenizerFilesFromGguf } from "./tokenizer.ts";
import { hasAttentionBias } from "../config/hf-config.ts";
import { MAX_SIZES } from "../config/model-config-check.ts";
import type { ModelConfig } from "../config/model-config.ts";

/** A tensor of the file and the Hugging Face tensor that it corresponds to. */
interface MappedTensor {
  readonly stored: GgufTensor;
  readonly mapping: GgufTensorMapping;
  readonly info: TensorInfo;
}

/**
 * Opens a GGUF file. Reads and checks its header and the few values of `rope_freqs.weight`, but no weights.
 *
 * The values differ from the file's in three ways. Rows of q and k, weights and biases, are reordered from llama.cpp's
 * rotary order to Hugging Face's. 1 is subtracted from the norm weights of families with `normOffset` (in f32, as in
 * transformers). `rope_freqs.weight` is part of the config instead of a tensor.
 * @throws CusprunError `MODEL_FILE_MISSING`; those of `readGgufHeader`, `configFromGguf` and `checkTensors`;
 * `TENSOR_UNKNOWN`; `GGUF_TENSOR_TYPE` for a quantised vector.
 */
export async function openGguf(path: string): Promise<Checkpoint> {
  const file = await openFile(path);
  try {
    const stamp = await stampOf(file);
    const header = await readGgufHeader(file, path);
    const ropeFactors = await readRopeFactors(file, header, path);
    const made = configFromGguf(header.metadata, header.tensors, ropeFactors, path);
    const tensors = mapTensors({ ...header, tensors: splitQueryKeyValue(header.tensors, made.config) }, made, path);
    const infos = new Map([...tensors].map(([name, { info }]) => [name, info]));
    checkTensors(made.config, infos, path, hasAttentionBias(made.configJson, path) ? "present" : "absent");
    return new GgufCheckpoint(file, stamp, path, header, made, tensors, infos);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path);
  } catch (cause) {
    const systemCode = (cause as NodeJS.ErrnoException).code;
    throw new CusprunError(
      "MODEL_FILE_MISSING",
      {
        where: path,
        found: systemCode === "ENOENT" ? "no such file" : `the system error ${systemCode}`,
        expected: "a readable GGUF file",
        remedy: "Check the path",
      },
      { cause },
    );
  }
}

/** The values of `rope_freqs.weight`, checked; null if the file has no such tensor. */
async function readRopeFactors(file: FileHandle, header: GgufHeader, path: string): Promise<readonly number[] | null> {
  const tensor = header.tensors.get(ROPE_FACTORS_NAME);
  if (tensor === undefined) return null;
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

function mapTensors(header: GgufHeader, { family, architecture }: GgufConfig, path: string): Map<string, MappedTensor> {
  const tensors = new Map<string, MappedTensor>();
  for (const stored of header.tensors.values()) {
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
    tensors.set(mapping.name, { stored, mapping, info: { name: mapping.name, shape, dtype, byteLength, file: path } });
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
  readonly #file: FileHandle;
  readonly #stamp: string;
  readonly #header: GgufHeader;
  readonly #mapped: ReadonlyMap<string, MappedTensor>;

  constructor(
    file: FileHandle,
    stamp: string,
    path: string,
    header: GgufHeader,
    made: GgufConfig,
    mapped: ReadonlyMap<string, MappedTensor>,
    tensors: ReadonlyMap<string, TensorInfo>,
  ) {
    this.path = path;
    this.config = made.config;
    this.configJson = made.configJson;
    this.generationConfigJson = made.generationConfigJson;
    this.tensors = tensors;
    this.#file = file;
    this.#stamp = stamp;
    this.#header = header;
    this.#mapped = mapped;
    this.gguf = {
      metadata: header.metadata,
      readValue: (key) => this.#readValue(key),
      rowsAsStored: (name) => {
        const tensor = this.#find(name);
        return (rows) => this.#readStoredRows(tensor, rows);
      },
      tokenIds: null,
    };
  }

  async readFloat32(name: string, rows?: RowRange): Promise<Float32Array<ArrayBuffer>> {
    const { stored, mapping, info } = this.#find(name);
    const { start, end } = rows ?? { start: 0, end: rowFormat(stored).rowCount };
    checkRows(stored, { start, end });
    const values = await readValues(this.#file, stored, { start, end }, this.#interleavedHeadDim(mapping), this.path);
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
    const { metadata } = this.#header;
    return metadata.has("tokenizer.ggml.model") ? tokenizerFilesFromGguf(metadata, this.path) : null;
  }

  async changedFile(): Promise<string | null> {
    return (await stampOf(this.#file)) === this.#stamp ? null : this.path;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #readStoredRows({ stored, mapping }: MappedTensor, rows: RowRange): Promise<Uint8Array<ArrayBuffer>> {
    checkRows(stored, rows);
    const { rowBytes } = rowFormat(stored);
    const bytes = new Uint8Array((rows.end - rows.start) * rowBytes);
    await readRows(this.#file, stored, rows, this.#interleavedHeadDim(mapping), this.path, (piece, firstRow) => {
      bytes.set(piece, firstRow * rowBytes);
    });
    return bytes;
  }

  async #readValue(key: string): Promise<Uint8Array<ArrayBuffer>> {
    const range = this.#header.valueRanges.get(key);
    if (range === undefined) throw new RangeError(`${this.path} has no key '${key}'`);
    const bytes = new Uint8Array(range.endByte - range.startByte);
    await readFully(this.#file, bytes, range.startByte, this.path);
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
