/**
 * @file The header of a safetensors file → its tensors with absolute byte ranges, after all checks that the format
 * defines.
 *
 * Layout: header length N (8 bytes, little-endian), N bytes of JSON (padded with spaces), then the tensors' bytes
 * without gaps. Source: huggingface/safetensors README ("Format") and safetensors/src/tensor.rs; each variant of its
 * `SafeTensorError` has a code here.
 */

import { CusprunError, type ErrorCode } from "../../errors.ts";
import { findIllFormedText, isJsonObject, type JsonObject, parseJson, showValue } from "../../json.ts";
import { endOfString, MINUS, NINE, QUOTE, ZERO } from "../../json-characters.ts";
import { recogniseFile } from "../foreign-file.ts";
import { findDuplicateKey } from "../json-duplicates.ts";

/** Far more than the digits of any size. */
const MAX_NUMBER_CHARACTERS = 64;

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

/** The location of a tensor in a file. */
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
  /** `__metadata__`, empty if absent. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
}

/** Size of the header length at the start of a file. */
export const HEADER_LENGTH_BYTES = 8;
/** The limit of the reference implementation. At about 120 bytes per tensor, it allows some 800,000 tensors. */
export const MAX_HEADER_BYTES = 100_000_000;
/** More axes than any weight has; keeps the number of elements cheap to compute. */
const MAX_RANK = 16;
/** Longer than any real tensor name. */
const MAX_NAME_CHARACTERS = 1024;
const REMEDY = "Download the file again; if it is complete, the program that wrote it has a bug";

/**
 * Reads the length of the JSON header.
 * @param start the first `HEAD_BYTES` bytes of the file, or all of a shorter file.
 * @param fileByteLength length of the whole file.
 * @throws CusprunError `SAFETENSORS_TOO_SHORT`, `SAFETENSORS_HEADER_LENGTH`.
 */
export function parseHeaderLength(start: Uint8Array, fileByteLength: number, file: string): number {
  const foreign = recogniseFile(start, "safetensors");
  if (foreign !== null) {
    const code = fileByteLength < HEADER_LENGTH_BYTES ? "SAFETENSORS_TOO_SHORT" : "SAFETENSORS_HEADER_LENGTH";
    throw new CusprunError(code, { where: file, expected: "a safetensors file", ...foreign });
  }
  if (fileByteLength < HEADER_LENGTH_BYTES || start.byteLength < HEADER_LENGTH_BYTES) {
    throw failure("SAFETENSORS_TOO_SHORT", file, `${fileByteLength} bytes`, `at least ${HEADER_LENGTH_BYTES} bytes`);
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw failure("SAFETENSORS_HEADER_LENGTH", file, `a header of ${length} bytes`, `at most ${MAX_HEADER_BYTES} bytes`);
  }
  if (Number(length) > fileByteLength - HEADER_LENGTH_BYTES) {
    const room = fileByteLength - HEADER_LENGTH_BYTES;
    throw failure(
      "SAFETENSORS_HEADER_LENGTH",
      file,
      `a header of ${length} bytes`,
      `at most the remaining ${room} bytes of the file`,
    );
  }
  return Number(length);
}

/**
 * Parses and checks the JSON header.
 * @param header the bytes of the header, of the length that `parseHeaderLength` returned.
 * @throws CusprunError `SAFETENSORS_HEADER_JSON`, `SAFETENSORS_DUPLICATE_KEY`, `SAFETENSORS_ENTRY`,
 * `SAFETENSORS_DTYPE`, `SAFETENSORS_SHAPE`, `SAFETENSORS_OFFSETS`, `SAFETENSORS_TRUNCATED`, `SAFETENSORS_SIZE`,
 * `SAFETENSORS_OVERLAP`, `SAFETENSORS_HOLE`, `SAFETENSORS_TRAILING`.
 */
export function parseSafetensorsHeader(header: Uint8Array, fileByteLength: number, file: string): SafetensorsHeader {
  const { text, json } = parseHeaderJson(header, file);
  const dataStartByte = HEADER_LENGTH_BYTES + header.byteLength;
  const dataByteLength = fileByteLength - dataStartByte;
  const metadata = parseMetadata(json["__metadata__"], file);
  const tensors = Object.entries(json)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => parseEntry(name, entry, dataStartByte, dataByteLength, file));
  tensors.sort((a, b) => a.startByte - b.startByte || a.endByte - b.endByte);
  checkCoverage(tensors, dataStartByte, fileByteLength, file);
  // Last: where a size or an offset is no such number, the error that names its tensor is the better one.
  const number = findOtherNumber(text);
  if (number !== null) {
    throw failure("SAFETENSORS_HEADER_JSON", file, `the number ${showValue(number)}`, "integers from 0, written in digits alone");
  }
  return { metadata, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

/** The size of a tensor in bytes, or null if it is not a whole number or not a safe integer. */
export function tensorByteLength(dtype: SafetensorsDType, shape: readonly number[]): number | null {
  let bits: number = SAFETENSORS_DTYPE_BITS[dtype];
  if (shape.includes(0)) return 0;
  for (const size of shape) {
    bits *= size;
    if (!Number.isSafeInteger(bits)) return null;
  }
  return bits % 8 === 0 ? bits / 8 : null;
}

function parseHeaderJson(header: Uint8Array, file: string): { readonly text: string; readonly json: JsonObject } {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header);
    json = parseJson(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw failure("SAFETENSORS_HEADER_JSON", file, `a header that is not valid JSON (${reason})`, "JSON in UTF-8", error);
  }
  if (!isJsonObject(json) || !text.startsWith("{")) {
    throw failure("SAFETENSORS_HEADER_JSON", file, `a header that starts with ${showValue(text.slice(0, 20))}`, "a JSON object");
  }
  const illFormed = findIllFormedText(json);
  if (illFormed !== null) {
    throw failure("SAFETENSORS_HEADER_JSON", file, `${showValue(illFormed)}, which holds half a character`, "text in Unicode");
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== null) {
    throw failure("SAFETENSORS_DUPLICATE_KEY", file, `${showValue(duplicate)} twice in the header`, "each name once");
  }
  return { text, json };
}

/**
 * The first number of a JSON text that is not written in digits alone, such as 3.0, -0 or 1e400: strict readers refuse
 * it where the format wants a size, and JavaScript reads it as one. Null if there is none.
 */
function findOtherNumber(json: string): string | null {
  for (let i = 0; i < json.length; i++) {
    const character = json.charCodeAt(i);
    if (character === QUOTE) i = endOfString(json, i) - 1;
    else if (character === MINUS || (character >= ZERO && character <= NINE)) {
      const [number] = /^[-+.0-9eE]+/.exec(json.slice(i, i + MAX_NUMBER_CHARACTERS))!;
      if (!/^[0-9]+$/.test(number)) return number;
      i += number.length - 1;
    }
  }
  return null;
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
    throw failure(
      "SAFETENSORS_ENTRY",
      file,
      `a tensor name of ${name.length} characters`,
      `1 to ${MAX_NAME_CHARACTERS} characters`,
    );
  }
  const where = `${file}: tensor '${name}'`;
  if (!isJsonObject(entry))
    throw failure("SAFETENSORS_ENTRY", where, showValue(entry), "an object with dtype, shape and data_offsets");
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
      `at least ${end} bytes, where the tensor ends`,
    );
  }
  const byteLength = tensorByteLength(dtype, shape);
  if (byteLength !== end - start) {
    const needed = byteLength === null ? "no exact number of bytes" : `${byteLength} bytes`;
    throw failure("SAFETENSORS_SIZE", where, `${end - start} bytes`, `${needed} for ${dtype} [${shape.join(", ")}]`);
  }
  return { name, dtype, shape, startByte: dataStartByte + start, endByte: dataStartByte + end };
}

/** Tensors sorted by offset must be contiguous, without overlap or gap, from the first byte of data to the last. */
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
        `a gap of ${countBytes(gap)} before it`,
        `a start at byte ${position}, where ${previous} ends`,
      );
    }
    position = endByte;
    previous = `'${name}'`;
  }
  if (position !== fileByteLength) {
    const rest = fileByteLength - position;
    throw failure(
      "SAFETENSORS_TRAILING",
      file,
      `${countBytes(rest)} after ${previous}`,
      `the end of the file at byte ${position}`,
    );
  }
}

function countBytes(count: number): string {
  return count === 1 ? "1 byte" : `${count} bytes`;
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
