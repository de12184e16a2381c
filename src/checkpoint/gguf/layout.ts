/**
 * @file Where each tensor of a GGUF file is: entries of the header → checked byte ranges of the file. Pure; reads
 * nothing.
 */

import { CusprunError } from "../../errors.ts";
import { showValue } from "../../json.ts";
import type { ErrorCode } from "../../errors.ts";
import type { StoredDType } from "../checkpoint.ts";
import { GGML_BLOCK_FORMATS, ggmlByteLength, ggmlTypeName, isReadableType } from "./ggml-types.ts";
import type { GgufMetadata } from "./values.ts";

/** A tensor's entry in the header. */
export interface GgufTensorEntry {
  readonly name: string;
  /** GGML's order: the row length first. */
  readonly sizes: readonly (number | bigint)[];
  readonly typeId: number;
  /** From the start of the data. */
  readonly offset: number | bigint;
}

/** A tensor of a GGUF file. Its bytes are known to be inside the file and to overlap no other tensor's. */
export interface GgufTensor {
  /** GGUF's name, e.g. `blk.0.attn_q.weight`. */
  readonly name: string;
  /** Hugging Face's order, [out, in]: the reverse of the file's. */
  readonly shape: readonly number[];
  readonly dtype: StoredDType;
  /** From the start of the file. */
  readonly startByte: number;
  readonly byteLength: number;
}

/** `GGUF_DEFAULT_ALIGNMENT`. */
const DEFAULT_ALIGNMENT = 32;

const DAMAGED = "The file is damaged: download it again";

/**
 * Checks the entries against each other and against the file's size.
 * @param headerEndByte end of the last entry (exclusive).
 * @throws CusprunError `GGUF_ALIGNMENT`, `GGUF_DUPLICATE_TENSOR`, `GGUF_TENSOR_TYPE`, `GGUF_DIMENSIONS`,
 * `GGUF_ROW_LENGTH`, `GGUF_OFFSET`, `GGUF_TRUNCATED`, `GGUF_OVERLAP`.
 */
export function placeTensors(
  entries: readonly GgufTensorEntry[],
  metadata: GgufMetadata,
  headerEndByte: number,
  fileBytes: number,
  path: string,
): Map<string, GgufTensor> {
  const alignment = readAlignment(metadata, path);
  const dataStartByte = Math.ceil(headerEndByte / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const entry of entries) {
    if (tensors.has(entry.name)) {
      throw tensorError("GGUF_DUPLICATE_TENSOR", path, entry.name, "a duplicate name", "unique names", DAMAGED);
    }
    tensors.set(entry.name, placeTensor(entry, alignment, dataStartByte, fileBytes, path));
  }
  checkOverlaps([...tensors.values()], path);
  return tensors;
}

function readAlignment(metadata: GgufMetadata, path: string): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  const isPowerOfTwo = typeof alignment === "number" && alignment >= 1 && Number.isInteger(Math.log2(alignment));
  if (isPowerOfTwo && alignment <= 2 ** 31) return alignment;
  throw new CusprunError("GGUF_ALIGNMENT", {
    where: `${path}: key 'general.alignment'`,
    found: showValue(alignment),
    expected: "a power of two",
    remedy: DAMAGED,
  });
}

function placeTensor(
  entry: GgufTensorEntry,
  alignment: number,
  dataStartByte: number,
  fileBytes: number,
  path: string,
): GgufTensor {
  const { name, offset } = entry;
  const dtype = readType(entry, path);
  const shape = entry.sizes.map(Number).toReversed();
  const count = shape.reduce((product, size) => product * size, 1);
  if (shape.some((size) => size < 1) || !Number.isSafeInteger(count)) {
    throw tensorError(
      "GGUF_DIMENSIONS",
      path,
      name,
      `shape [${shape.join(", ")}]`,
      "sizes of at least 1 whose product a file can hold",
      DAMAGED,
    );
  }
  const rowLength = shape.at(-1)!;
  const { blockSize } = GGML_BLOCK_FORMATS[dtype];
  if (rowLength % blockSize !== 0) {
    throw tensorError(
      "GGUF_ROW_LENGTH",
      path,
      name,
      `rows of ${rowLength} values`,
      `a multiple of ${blockSize}, the block of ${dtype}`,
      DAMAGED,
    );
  }
  if (Number(offset) % alignment !== 0) {
    throw tensorError("GGUF_OFFSET", path, name, `offset ${offset}`, `a multiple of the alignment ${alignment}`, DAMAGED);
  }
  const startByte = dataStartByte + Number(offset);
  const byteLength = ggmlByteLength(dtype, count);
  if (startByte + byteLength > fileBytes) {
    throw tensorError(
      "GGUF_TRUNCATED",
      path,
      name,
      `a file of ${fileBytes} bytes`,
      `the tensor's ${byteLength} bytes from byte ${startByte} on`,
      "The file was cut short: download it again",
    );
  }
  return { name, shape, dtype, startByte, byteLength };
}

function readType({ name, typeId }: GgufTensorEntry, path: string): StoredDType {
  const type = ggmlTypeName(typeId);
  if (type !== null && isReadableType(type)) return type;
  throw tensorError(
    "GGUF_TENSOR_TYPE",
    path,
    name,
    type === null ? `the unknown type ${typeId}` : `type ${type}`,
    `one of ${Object.keys(GGML_BLOCK_FORMATS).join(", ")}`,
    "Choose a file of the same model in one of these types",
  );
}

function checkOverlaps(tensors: readonly GgufTensor[], path: string): void {
  const inOrder = tensors.toSorted((a, b) => a.startByte - b.startByte);
  for (const [i, tensor] of inOrder.entries()) {
    const next = inOrder[i + 1];
    const endByte = tensor.startByte + tensor.byteLength;
    if (next !== undefined && next.startByte < endByte) {
      throw tensorError(
        "GGUF_OVERLAP",
        path,
        next.name,
        `a start at byte ${next.startByte}`,
        `byte ${endByte} or later, where '${tensor.name}' ends`,
        DAMAGED,
      );
    }
  }
}

function tensorError(code: ErrorCode, path: string, name: string, found: string, expected: string, remedy: string): CusprunError {
  return new CusprunError(code, { where: `${path}: tensor '${name}'`, found, expected, remedy });
}
