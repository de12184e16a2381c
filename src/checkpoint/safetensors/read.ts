/**
 * @file Reads a safetensors file: opening reads and checks the header; afterwards only the requested byte ranges are
 * read.
 */

import type { FileHandle } from "node:fs/promises";
import { CusprunError } from "../../errors.ts";
import { openRegularFile } from "../../regular-files.ts";
import { asReadError } from "../../system-errors.ts";
import { HEAD_BYTES } from "../foreign-file.ts";
import { widenToFloat32 } from "../../float-convert.ts";
import { elementCount, FLOAT_DTYPE_BYTES, type FloatDType } from "../../tensor.ts";
import type { RowRange } from "../checkpoint.ts";
import { stampOf } from "../../file-stamp.ts";
import {
  HEADER_LENGTH_BYTES,
  parseHeaderLength,
  parseSafetensorsHeader,
  type SafetensorsDType,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from "./header.ts";

/** Maximum size of a single read; the system's limit is 2 GiB - 4 KiB. */
const MAX_READ_BYTES = 2 ** 30;

/** Dtypes whose values can be widened to f32. */
const FLOAT_DTYPES: readonly string[] = ["F32", "F16", "BF16"] satisfies FloatDType[];

/** An open safetensors file. */
export class SafetensorsFile {
  readonly path: string;
  /** `__metadata__`, empty if absent. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  readonly #handle: FileHandle;
  readonly #stamp: string;

  private constructor(path: string, header: SafetensorsHeader, handle: FileHandle, stamp: string) {
    this.path = path;
    this.metadata = header.metadata;
    this.tensors = header.tensors;
    this.#handle = handle;
    this.#stamp = stamp;
  }

  /**
   * Opens a file and checks its header. Reads no tensors.
   * @throws CusprunError `MODEL_FILE_MISSING`, and the codes of `parseHeaderLength` and `parseSafetensorsHeader`.
   */
  static async open(path: string): Promise<SafetensorsFile> {
    const handle = await openRegularFile(path, "MODEL_FILE_MISSING", "a readable safetensors file");
    try {
      const stamp = await stampOf(handle);
      const { size } = await handle.stat();
      const head = await readRange(handle, 0, Math.min(size, HEAD_BYTES), path);
      const headerByteLength = parseHeaderLength(head, size, path);
      const header = await readRange(handle, HEADER_LENGTH_BYTES, HEADER_LENGTH_BYTES + headerByteLength, path);
      return new SafetensorsFile(path, parseSafetensorsHeader(header, size, path), handle, stamp);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * Reads the bytes of a tensor, or of a part of it, as stored.
   * @param startByte offset inside the tensor.
   * @param endByte exclusive.
   * @throws CusprunError `SAFETENSORS_TRUNCATED` if the file has been truncated since it was opened; RangeError (a bug
   * in the caller) for an unknown name or bytes outside the tensor.
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
   * Reads the values of an F32, F16 or BF16 tensor, or of its rows [start, end), as f32.
   * @throws what `readBytes` throws; RangeError for another dtype or rows outside the tensor.
   */
  async readFloat32(name: string, rows?: RowRange): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.#floatEntry(name);
    return widenToFloat32(await (rows === undefined ? this.readBytes(name) : this.readRows(name, rows)), dtype);
  }

  /**
   * Reads the bytes of the rows [start, end) of an F32, F16 or BF16 tensor, as stored.
   * @throws what `readFloat32` throws.
   */
  async readRows(name: string, { start, end }: RowRange): Promise<Uint8Array<ArrayBuffer>> {
    const { dtype, shape } = this.#floatEntry(name);
    const rowCount = shape[0] ?? 1;
    if (!Number.isInteger(start) || !Number.isInteger(end) || end > rowCount)
      throw new RangeError(`rows ${start} to ${end} are not inside tensor '${name}' of ${rowCount} rows`);
    const rowBytes = elementCount(shape.slice(1)) * FLOAT_DTYPE_BYTES[dtype];
    return this.readBytes(name, start * rowBytes, end * rowBytes);
  }

  /** Whether the file has been written to since it was opened (`stampOf`). */
  async hasChanged(): Promise<boolean> {
    return (await stampOf(this.#handle)) !== this.#stamp;
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  #floatEntry(name: string): SafetensorsEntry & { readonly dtype: FloatDType } {
    const { dtype, ...rest } = this.#entry(name);
    if (!isFloatDType(dtype)) throw new RangeError(`tensor '${name}' is ${dtype}, which cannot be widened to f32`);
    return { ...rest, dtype };
  }

  #entry(name: string): SafetensorsEntry {
    const entry = this.tensors.get(name);
    if (entry === undefined) throw new RangeError(`${this.path} has no tensor '${name}'`);
    return entry;
  }
}

/** Whether a dtype is one that cusprun supports. */
export function isFloatDType(dtype: SafetensorsDType): dtype is FloatDType {
  return FLOAT_DTYPES.includes(dtype);
}

/** Reads the bytes [startByte, endByte) of a file. */
async function readRange(handle: FileHandle, startByte: number, endByte: number, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(endByte - startByte);
  let done = 0;
  while (done < bytes.byteLength) {
    const length = Math.min(bytes.byteLength - done, MAX_READ_BYTES);
    const { bytesRead } = await handle.read(bytes, done, length, startByte + done).catch((error: unknown) => {
      throw asReadError(error, "MODEL_FILE_MISSING", path, "a readable safetensors file");
    });
    if (bytesRead === 0) {
      throw new CusprunError("SAFETENSORS_TRUNCATED", {
        where: path,
        found: `the end of the file at byte ${startByte + done}`,
        expected: `at least ${endByte} bytes, as when the file was opened`,
        remedy: "Run again, and do not change the model while it is being read",
      });
    }
    done += bytesRead;
  }
  return bytes;
}
