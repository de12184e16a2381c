/**
 * @file Writes a GGUF file. All sizes are planned first, so that the header can be written before any tensor; then the
 * tensors, piece by piece.
 * Source: the GGUF specification, version 3, `docs/gguf.md` of ggml-org/ggml.
 */

import { open, type FileHandle } from "node:fs/promises";
import type { StoredDType } from "../../checkpoint/checkpoint.ts";
import { ggmlByteLength, ggmlTypeId } from "../../checkpoint/gguf/ggml-types.ts";
import { GGUF_VALUE_TYPES, type GgufValueType } from "../../checkpoint/gguf/values.ts";
import { writeFileAtomically } from "../../atomic-write.ts";
import { type JobOptions, pause } from "../../progress.ts";
import { elementCount } from "../../tensor.ts";

/** A value of the header with its type. */
export type GgufTypedValue =
  | readonly [type: "string", value: string]
  | readonly [type: "uint32" | "float32", value: number]
  | readonly [type: "bool", value: boolean]
  | readonly [type: "array", of: "string", values: readonly string[]]
  | readonly [type: "array", of: "int32" | "float32", values: readonly number[]]
  /** A value with its type, as encoded in another file. */
  | readonly [type: "encoded", bytes: Uint8Array];

/** A key of the header with its value. */
export type GgufPair = readonly [key: string, value: GgufTypedValue];

/** A tensor to write. */
export interface GgufTensorSource {
  /** GGUF's name. */
  readonly name: string;
  /** Row-major, [out, in], as everywhere in cusprun; the file has the sizes in reverse order. */
  readonly shape: readonly number[];
  readonly type: StoredDType;
  /** Whether its bytes are copied from the input. */
  readonly isCopied?: true;
  /**
   * Its bytes, in pieces. Called once, when the tensor is written; a piece is released before the next is requested.
   */
  pieces(): AsyncIterable<Uint8Array>;
}

/** Tensors begin at multiples of this, counted from the end of the header: the format's default. */
const ALIGNMENT_BYTES = 32;

/**
 * Writes a file, via a temporary file next to it.
 * @returns the size of the file in bytes.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`; RangeError (a defect of the caller) if a tensor's pieces do
 * not match its shape.
 */
export async function writeGguf(
  path: string,
  pairs: readonly GgufPair[],
  tensors: readonly GgufTensorSource[],
  { onProgress, signal }: JobOptions = {},
): Promise<number> {
  const header = encodeGgufHeader(pairs, tensors);
  const total = ggufFileBytes(header, tensors);
  await writeFileAtomically(path, async (temporary) => {
    const file = await open(temporary, "w");
    try {
      let done = await writeAll(file, header);
      for (const tensor of tensors) {
        const start = done;
        for await (const piece of tensor.pieces()) {
          done += await writeAll(file, piece);
          onProgress?.({ stage: "writing", done, total, unit: "bytes" });
          await pause(signal);
        }
        const expected = tensorBytes(tensor);
        if (done - start !== expected) {
          throw new RangeError(`tensor '${tensor.name}' gave ${done - start} bytes, but its shape needs ${expected}`);
        }
        done += await writeAll(file, new Uint8Array(aligned(expected) - expected));
      }
    } finally {
      await file.close();
    }
  });
  return total;
}

/** Size of a file in bytes. */
export function ggufFileBytes(header: Uint8Array, tensors: readonly GgufTensorSource[]): number {
  return tensors.reduce((sum, tensor) => sum + aligned(tensorBytes(tensor)), header.byteLength);
}

/** Everything before the first tensor, padded to the tensor's start. */
export function encodeGgufHeader(pairs: readonly GgufPair[], tensors: readonly GgufTensorSource[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from("GGUF"), uint32(3), uint64(tensors.length), uint64(pairs.length)];
  for (const [key, value] of pairs) parts.push(string(key), typedValue(value));
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(string(tensor.name), uint32(tensor.shape.length), ...tensor.shape.toReversed().map(uint64));
    parts.push(uint32(ggmlTypeId(tensor.type)), uint64(offset));
    offset += aligned(tensorBytes(tensor));
  }
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return Buffer.concat([...parts, new Uint8Array(aligned(length) - length)]);
}

function typedValue(value: GgufTypedValue): Uint8Array {
  switch (value[0]) {
    case "string":
      return Buffer.concat([typeId("string"), string(value[1])]);
    case "uint32":
      return Buffer.concat([typeId("uint32"), uint32(value[1])]);
    case "float32":
      return Buffer.concat([typeId("float32"), new Uint8Array(Float32Array.of(value[1]).buffer)]);
    case "bool":
      return Buffer.concat([typeId("bool"), Uint8Array.of(value[1] ? 1 : 0)]);
    case "encoded":
      return value[1];
    case "array":
      return Buffer.concat([typeId("array"), typeId(value[1]), uint64(value[2].length), arrayItems(value)]);
    default:
      throw value satisfies never;
  }
}

function arrayItems(array: Extract<GgufTypedValue, readonly ["array", ...unknown[]]>): Uint8Array {
  switch (array[1]) {
    case "string":
      return Buffer.concat(array[2].map(string));
    case "int32":
      return new Uint8Array(Int32Array.from(array[2]).buffer);
    case "float32":
      return new Uint8Array(Float32Array.from(array[2]).buffer);
    default:
      throw array satisfies never;
  }
}

function typeId(type: GgufValueType): Uint8Array {
  return uint32(GGUF_VALUE_TYPES.indexOf(type));
}

function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function string(text: string): Uint8Array {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

/** Bytes of a tensor. */
export function tensorBytes({ type, shape }: GgufTensorSource): number {
  return ggmlByteLength(type, elementCount(shape));
}

function aligned(byteLength: number): number {
  return Math.ceil(byteLength / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<number> {
  let done = 0;
  while (done < bytes.byteLength) done += (await file.write(bytes, done)).bytesWritten;
  return done;
}
