/**
 * @file Reading of a safetensors file: opening reads and checks the header, then only the byte ranges that are asked for.
 */

import { open, type FileHandle } from "node:fs/promises";
import { CusprunError } from "../../errors.ts";
import { widenToFloat32 } from "../../float-convert.ts";
import { elementCount, FLOAT_DTYPE_BYTES, type FloatDType } from "../../tensor.ts";
import type { RowRange } from "../checkpoint.ts";
import {
  HEADER_LENGTH_BYTES,
  parseHeaderLength,
  parseSafetensorsHeader,
  type SafetensorsDType,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from "./header.ts";

/** Longest single read; the system's limit is 2 GiB - 4 KiB. */
const MAX_READ_BYTES = 2 ** 30;

/** Dtypes whose values can be widened to f32. */
const FLOAT_DTYPES: readonly string[] = ["F32", "F16", "BF16"] satisfies FloatDType[];

/** An open safetensors file. */
export class SafetensorsFile {
  readonly path: string;
  /** `__metadata__`, empty where there is none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, in the order of the bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  readonly #handle: FileHandle;

  private constructor(path: string, header: SafetensorsHeader, handle: FileHandle) {
    this.path = path;
    this.metadata = header.metadata;
    this.tensors = header.tensors;
    this.#handle = handle;
  }

  /**
   * Opens a file and checks its header. Reads no tensor.
   * @throws CusprunError `MODEL_FILE_MISSING`, and the codes of `parseHeaderLength` and `parseSafetensorsHeader`.
   */
  static async open(path: string): Promise<SafetensorsFile> {
    const handle = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
      throw missingFile(path, error);
    });
    try {
      const { size } = await handle.stat();
      const start = await readRange(handle, 0, Math.min(size, HEADER_LENGTH_BYTES), path);
      const headerByteLength = parseHeaderLength(start, size, path);
      const header = await readRange(handle, HEADER_LENGTH_BYTES, HEADER_LENGTH_BYTES + headerByteLength, path);
      return new SafetensorsFile(path, parseSafetensorsHeader(header, size, path), handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * Bytes of a tensor as stored, or of a part of it.
   * @param startByte offset inside the tensor. @param endByte exclusive.
   * @throws CusprunError `SAFETENSORS_TRUNCATED` where the file has become shorter since it was opened; RangeError (a defect of the
   * caller) for a name that is not there or bytes outside the tensor.
   */
  async readBytes(name: string, startByte: number = 0, endByte?: number): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.#entry(name);
    const start = entry.startByte + startByte;
    const end = endByte === undefined ? entry.endByte : entry.startByte + endByte;
    if (start < entry.startByte || start > end || end > entry.endByte) {
      throw new RangeError(`bytes ${startByte} to ${endByte} are not inside tensor '${name}'`);
    }
    return readRange(this.#handle, start, end, this.path);
  }

  /**
   * Values of an F32, F16 or BF16 tensor as f32, or of its rows [start, end).
   * @throws as `readBytes`; RangeError for another dtype or rows outside the tensor.
   */
  async readFloat32(name: string, rows?: RowRange): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.#floatEntry(name);
    return widenToFloat32(await (rows === undefined ? this.readBytes(name) : this.readRows(name, rows)), dtype);
  }

  /**
   * Bytes of the rows [start, end) of an F32, F16 or BF16 tensor, as stored.
   * @throws as `readFloat32`.
   */
  async readRows(name: string, { start, end }: RowRange): Promise<Uint8Array<ArrayBuffer>> {
    const { dtype, shape } = this.#floatEntry(name);
    const rowCount = shape[0] ?? 1;
    if (!Number.isInteger(start) || !Number.isInteger(end) || end > rowCount)
      throw new RangeError(`rows ${start} to ${end} are not inside tensor '${name}' of ${rowCount} rows`);
    const rowBytes = elementCount(shape.slice(1)) * FLOAT_DTYPE_BYTES[dtype];
    return this.readBytes(name, start * rowBytes, end * rowBytes);
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  #floatEntry(name: string): SafetensorsEntry & { readonly dtype: FloatDType } {
    const { dtype, ...rest } = this.#entry(name);
    if (!isFloatDType(dtype)) throw new RangeError(`tensor '${name}' is ${dtype}, which is not widened to f32`);
    return { ...rest, dtype };
  }

  #entry(name: string): SafetensorsEntry {
    const entry = this.tensors.get(name);
    if (entry === undefined) throw new RangeError(`${this.path} has no tensor '${name}'`);
    return entry;
  }
}

/** Whether cusprun computes with a dtype. */
export function isFloatDType(dtype: SafetensorsDType): dtype is FloatDType {
  return FLOAT_DTYPES.includes(dtype);
}

/** Bytes [startByte, endByte) of a file. */
async function readRange(handle: FileHandle, startByte: number, endByte: number, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(endByte - startByte);
  let done = 0;
  while (done < bytes.byteLength) {
    const length = Math.min(bytes.byteLength - done, MAX_READ_BYTES);
    const { bytesRead } = await handle.read(bytes, done, length, startByte + done);
    if (bytesRead === 0) {
      throw new CusprunError("SAFETENSORS_TRUNCATED", {
        where: path,
        found: `no byte ${startByte + done} any more`,
        expected: `at least ${endByte} bytes, as when it was opened`,
        remedy: "Do not change the model while it is being read; run again",
      });
    }
    done += bytesRead;
  }
  return bytes;
}

function missingFile(path: string, cause: NodeJS.ErrnoException): CusprunError {
  return new CusprunError(
    "MODEL_FILE_MISSING",
    {
      where: path,
      found: cause.code === "ENOENT" ? "no such file" : `the system's answer ${cause.code}`,
      expected: "a safetensors file that can be read",
      remedy: "Download the model again, or check the path and its permissions",
    },
    { cause },
  );
}
