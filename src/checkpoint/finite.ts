/**
 * @file Refuses weights that are NaN or infinite, and names the tensor and the position. One such weight makes every
 * result of the model NaN.
 *
 * A value is not finite if all bits of its exponent are set. Adding 1 to the exponent then carries into the sign bit,
 * which tests a 32-bit word, with one or two values, in three operations. Source: IEEE 754 (binary16, binary32).
 */

import { CusprunError } from "../errors.ts";
import { widenToFloat32 } from "../float-convert.ts";
import type { FloatDType } from "../tensor.ts";
import type { GgmlQuantType, TensorInfo } from "./checkpoint.ts";
import { GGML_BLOCK_FORMATS } from "./gguf/ggml-types.ts";

/** Bits of the exponents in a word, the lowest bit of each, and the bits that they carry into. */
const EXPONENTS: Readonly<Record<FloatDType, { readonly mask: number; readonly one: number; readonly carry: number }>> = {
  F32: { mask: 0x7f80_0000, one: 0x0080_0000, carry: 0x8000_0000 },
  F16: { mask: 0x7c00_7c00, one: 0x0400_0400, carry: 0x8000_8000 },
  BF16: { mask: 0x7f80_7f80, one: 0x0080_0080, carry: 0x8000_8000 },
};

/**
 * Offsets in bytes of the F16 scales and minima in a block. All other fields are integers, so that a block with finite
 * scales has finite values: the largest, 65504 · 63 · 15, is far below f32's limit. Source: `block_q*` of ggml-org/ggml
 * `src/ggml-common.h`.
 */
const SCALE_OFFSETS: Readonly<Record<GgmlQuantType, readonly number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};

/** The exponent of an F16. */
const F16_EXPONENT = 0x7c00;

/** Whether all values are finite. */
export function isFinite32(values: Float32Array): boolean {
  return hasFiniteWords(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), "F32");
}

/**
 * Checks values as they were read.
 * @param values whole rows, [rows, row length].
 * @param firstRow of the tensor.
 * @returns the values.
 * @throws CusprunError `WEIGHTS_NOT_FINITE`.
 */
export function checkFinite<T extends Float32Array>(tensor: TensorInfo, values: T, firstRow: number = 0): T {
  if (!isFinite32(values)) throw notFinite(tensor, values, firstRow);
  return values;
}

/**
 * Checks rows as they are stored, without converting them.
 * @param bytes whole rows.
 * @param firstRow of the tensor.
 * @throws CusprunError `WEIGHTS_NOT_FINITE`.
 */
export function checkStoredFinite(tensor: TensorInfo, bytes: Uint8Array, firstRow: number): void {
  const { dtype } = tensor;
  if (dtype === "F32" || dtype === "F16" || dtype === "BF16") {
    if (!hasFiniteWords(bytes, dtype)) throw notFinite(tensor, widenToFloat32(bytes, dtype), firstRow);
    return;
  }
  const { blockSize, blockBytes } = GGML_BLOCK_FORMATS[dtype];
  for (const offset of SCALE_OFFSETS[dtype]) {
    for (let at = offset; at < bytes.length; at += blockBytes) {
      const bits = bytes[at]! | (bytes[at + 1]! << 8);
      if ((bits & F16_EXPONENT) !== F16_EXPONENT) continue;
      const value = widenToFloat32(bytes.subarray(at, at + 2), "F16")[0]!;
      throw refusal(tensor, `a scale that is ${value}, ${placeOf(tensor, Math.floor(at / blockBytes) * blockSize, firstRow)}`);
    }
  }
}

function hasFiniteWords(bytes: Uint8Array, dtype: FloatDType): boolean {
  // Views of words need an aligned start; a reader may return a part of a larger buffer.
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = new Int32Array(buffer, byteOffset, length >> 2);
  const { mask, one, carry } = EXPONENTS[dtype];
  let sums = 0;
  for (let index = 0; index < words.length; index++) sums |= (words[index]! & mask) + one;
  if (length % 4 !== 0) sums |= ((bytes[length - 2]! | (bytes[length - 1]! << 8)) & mask) + (one & 0xffff);
  return (sums & carry) === 0;
}

function notFinite(tensor: TensorInfo, values: Float32Array, firstRow: number): CusprunError {
  const index = values.findIndex((value) => !Number.isFinite(value));
  return refusal(tensor, `${values[index]} ${placeOf(tensor, index, firstRow)}`);
}

/** Where the value at `index` of the rows from `firstRow` is, counted from 0. */
function placeOf({ shape, dtype }: TensorInfo, index: number, firstRow: number): string {
  const rowLength = shape.length > 1 ? shape.at(-1)! : 1;
  const row = firstRow + Math.floor(index / rowLength);
  if (shape.length === 1) return `at position ${row}`;
  const column = index % rowLength;
  const { blockSize } = GGML_BLOCK_FORMATS[dtype];
  return `in row ${row}, ${blockSize === 1 ? `column ${column}` : `columns ${column} to ${column + blockSize - 1}`}`;
}

function refusal({ file, name }: TensorInfo, found: string): CusprunError {
  return new CusprunError("WEIGHTS_NOT_FINITE", {
    where: `${file}: tensor '${name}'`,
    found,
    expected: "finite weights",
    remedy: "Download or convert the model again; if the error remains, the model itself is damaged, and another one is needed",
  });
}
