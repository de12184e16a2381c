/**
 * @file The header of a safetensors file → its tensors with absolute byte ranges, after every check that the format allows.
 *
 * Layout: 8 bytes little-endian header length N, N bytes of JSON (padded with spaces), then the tensors' bytes without gaps.
 * Source: huggingface/safetensors README ("Format") and safetensors/src/tensor.rs; every error of its `SafeTensorError` has a code here.
 */

import { CusprunError, type ErrorCode } from "../../errors.ts";
import { isJsonObject, showValue } from "../config/config-fields.ts";
import { findDuplicateKey } from "../json-duplicates.ts";

/** Bits per element of every dtype of the format. */
export const SAFETENSORS_DTYPE_BITS = {
  BOOL: 8,
  U8: 8,
  I8: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** A dtype of the format; cusprun computes with F32, F16 and BF16 only. */
export type SafetensorsDType = keyof typeof SAFETENSORS_DTYPE_BITS;

/** One tensor's place in a file. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** Offset in the file. */
  readonly startByte: number;
  /** Offset in the file, exclusive. */
  readonly endByte: number;
}

/** A checked header. */
export interface SafetensorsHeader {
  /** `__metadata__`, empty where there is none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, in the order of the bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
}

/** Bytes of the header's length at the start of a file. */
export const HEADER_LENGTH_BYTES = 8;
/** The reference implementation's cap. A header takes about 120 bytes a tensor, so this is some 800,000 tensors. */
export const MAX_HEADER_BYTES = 100_000_000;
/** More axes than any weight has; the count of elements stays cheap to compute. */
const MAX_RANK = 16;
/** Longer names are no names. */
const MAX_NAME_CHARACTERS = 1024;
/** `version ` read as a header length: the first 8 bytes of a Git LFS pointer, the commonest file that is not what its name says. */
const GIT_LFS_POINTER_START = 0x206e_6f69_7372_6576n;

const REMEDY = "Download the file again; if it is complete, whatever wrote it is broken";

/**
 * Length of the JSON header.
 * @param start the file's first bytes, up to 8.
 * @param fileByteLength length of the whole file.
 * @throws CusprunError `SAFETENSORS_TOO_SHORT`, `SAFETENSORS_HEADER_LENGTH`.
 */
export function parseHeaderLength(start: Uint8Array, fileByteLength: number, file: string): number {
  if (fileByteLength < HEADER_LENGTH_BYTES || start.byteLength < HEADER_LENGTH_BYTES) {
    throw failure("SAFETENSORS_TOO_SHORT", file, `${fileByteLength} bytes`, `at least ${HEADER_LENGTH_BYTES}`);
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length === GIT_LFS_POINTER_START) {
    throw new CusprunError("SAFETENSORS_HEADER_LENGTH", {
      where: file,
      found: "a Git LFS pointer",
      expected: "the file that it points to",
      remedy: "Run `git lfs pull` in the model's folder, or download the model with `cusprun fetch`",
    });
  }
  if (length > MAX_HEADER_BYTES) {
    throw failure("SAFETENSORS_HEADER_LENGTH", file, `a header of ${length} bytes`, `at most ${MAX_HEADER_BYTES}`);
  }
  if (Number(length) > fileByteLength - HEADER_LENGTH_BYTES) {
    const room = fileByteLength - HEADER_LENGTH_BYTES;
    throw failure("SAFETENSORS_HEADER_LENGTH", file, `a header of ${length} bytes`, `at most the ${room} that the file has`);
  }
  return Number(length);
}

/**
 * Parses and checks the JSON header.
 * @param header its bytes, of the length that `parseHeaderLength` returned.
 * @throws CusprunError `SAFETENSORS_HEADER_JSON`, `SAFETENSORS_DUPLICATE_KEY`, `SAFETENSORS_ENTRY`, `SAFETENSORS_DTYPE`,
 * `SAFETENSORS_SHAPE`, `SAFETENSORS_OFFSETS`, `SAFETENSORS_TRUNCATED`, `SAFETENSORS_SIZE`, `SAFETENSORS_OVERLAP`, `SAFETENSORS_HOLE`,
 * `SAFETENSORS_TRAILING`.
 */
export function parseSafetensorsHeader(header: Uint8Array, fileByteLength: number, file: string): SafetensorsHeader {
  const json = parseJson(header, file);
  const dataStartByte = HEADER_LENGTH_BYTES + header.byteLength;
  const dataByteLength = fileByteLength - dataStartByte;
  const metadata = parseMetadata(json["__metadata__"], file);
  const tensors = Object.entries(json)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => parseEntry(name, entry, dataStartByte, dataByteLength, file));
  tensors.sort((a, b) => a.startByte - b.startByte || a.endByte - b.endByte);
  checkCoverage(tensors, dataStartByte, fileByteLength, file);
  return { metadata, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

/** Bytes of a tensor, or null where they are no whole number or no exact integer. */
export function tensorByteLength(dtype: SafetensorsDType, shape: readonly number[]): number | null {
  let bits: number = SAFETENSORS_DTYPE_BITS[dtype];
  if (shape.includes(0)) return 0;
  for (const size of shape) {
    bits *= size;
    if (!Number.isSafeInteger(bits)) return null;
  }
  return bits % 8 === 0 ? bits / 8 : null;
}

function parseJson(header: Uint8Array, file: string): Readonly<Record<string, unknown>> {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header);
    json = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw failure("SAFETENSORS_HEADER_JSON", file, `a header that is no JSON (${reason})`, "JSON in UTF-8", error);
  }
  if (!isJsonObject(json) || !text.startsWith("{")) {
    throw failure("SAFETENSORS_HEADER_JSON", file, `a header that begins ${showValue(text.slice(0, 20))}`, "a JSON object");
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== null) {
    throw failure("SAFETENSORS_DUPLICATE_KEY", file, `${showValue(duplicate)} twice in the header`, "each name once");
  }
  return json;
}

function parseMetadata(metadata: unknown, file: string): Readonly<Record<string, string>> {
  if (metadata === undefined) return {};
  if (isJsonObject(metadata) && Object.values(metadata).every((value) => typeof value === "string")) {
    return metadata as Readonly<Record<string, string>>;
  }
  throw failure("SAFETENSORS_ENTRY", `${file}: __metadata__`, showValue(metadata), "an object of strings");
}

function parseEntry(name: string, entry: unknown, dataStartByte: number, dataByteLength: number, file: string): SafetensorsEntry {
  if (name.length === 0 || name.length > MAX_NAME_CHARACTERS) {
    throw failure("SAFETENSORS_ENTRY", file, `a tensor name of ${name.length} characters`, `1 to ${MAX_NAME_CHARACTERS}`);
  }
  const where = `${file}: tensor '${name}'`;
  if (!isJsonObject(entry))
    throw failure("SAFETENSORS_ENTRY", where, showValue(entry), "an object with dtype, shape, data_offsets");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDType(dtype)) {
    throw failure(
      "SAFETENSORS_DTYPE",
      where,
      `dtype ${showValue(dtype)}`,
      `one of ${Object.keys(SAFETENSORS_DTYPE_BITS).join(", ")}`,
    );
  }
  if (!isCountList(shape) || shape.length > MAX_RANK) {
    throw failure("SAFETENSORS_SHAPE", where, `shape ${showValue(shape)}`, `at most ${MAX_RANK} non-negative integers`);
  }
  const [start, end] = isCountList(offsets) ? offsets : [];
  if (!isCountList(offsets) || offsets.length !== 2 || start === undefined || end === undefined || start > end) {
    throw failure("SAFETENSORS_OFFSETS", where, `data_offsets ${showValue(offsets)}`, "[start, end] with 0 ≤ start ≤ end");
  }
  if (end > dataByteLength) {
    throw failure(
      "SAFETENSORS_TRUNCATED",
      where,
      `${dataByteLength} bytes of data in the file`,
      `at least the ${end} where it ends`,
    );
  }
  const byteLength = tensorByteLength(dtype, shape);
  if (byteLength !== end - start) {
    const needed = byteLength === null ? "no exact number of bytes" : `${byteLength} bytes`;
    throw failure("SAFETENSORS_SIZE", where, `${end - start} bytes`, `${needed}, as ${dtype} [${shape.join(", ")}] takes`);
  }
  return { name, dtype, shape, startByte: dataStartByte + start, endByte: dataStartByte + end };
}

/** Tensors sorted by place must follow each other without overlap or gap, from the first byte of data to the last. */
function checkCoverage(tensors: readonly SafetensorsEntry[], dataStartByte: number, fileByteLength: number, file: string): void {
  let position = dataStartByte;
  let previous = "the header";
  for (const { name, startByte, endByte } of tensors) {
    const where = `${file}: tensor '${name}'`;
    if (startByte < position) {
      throw failure("SAFETENSORS_OVERLAP", where, `a start at byte ${startByte}`, `byte ${position}, where ${previous} ends`);
    }
    if (startByte > position) {
      const gap = startByte - position;
      throw failure(
        "SAFETENSORS_HOLE",
        where,
        `${gap} bytes of no tensor before it`,
        `a start at byte ${position}, where ${previous} ends`,
      );
    }
    position = endByte;
    previous = `'${name}'`;
  }
  if (position !== fileByteLength) {
    const rest = fileByteLength - position;
    throw failure("SAFETENSORS_TRAILING", file, `${rest} bytes behind ${previous}`, `the end of the file at byte ${position}`);
  }
}

function isDType(value: unknown): value is SafetensorsDType {
  return typeof value === "string" && Object.hasOwn(SAFETENSORS_DTYPE_BITS, value);
}

function isCountList(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item: unknown) => Number.isSafeInteger(item) && (item as number) >= 0);
}

function failure(code: ErrorCode, where: string, found: string, expected: string, cause?: unknown): CusprunError {
  return new CusprunError(code, { where, found, expected, remedy: REMEDY }, { cause });
}
