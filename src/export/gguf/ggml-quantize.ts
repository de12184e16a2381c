/**
 * @file f32 → GGML's quantised blocks: entry point, and the types with blocks of 32 (Q4_0 to Q8_0).
 *
 * Bit-identical to `ggml_quantize_chunk` without an importance matrix (`quantize_row_q*_ref` of ggml-org/ggml
 * `src/ggml-quants.c`) and with one (`quantize_row_q*_impl`), as compiled without fused multiply-add: every step that C
 * does in `float` is rounded to f32 here. One operation in f64 on f32 operands, rounded to f32, gives the f32 result.
 */

import { GGML_BLOCK_FORMATS } from "../../checkpoint/gguf/ggml-types.ts";
import { narrowFromFloat32 } from "../../float-convert.ts";
import type { FloatDType } from "../../tensor.ts";
import { quantizeQ4K, quantizeQ5K, quantizeQ6K, WEIGHTED_SEARCH } from "./ggml-quantize-k.ts";
import { writeFloat16 } from "./ggml-rounding.ts";
import { findScale, findScaleAndMinimum } from "./ggml-scale-search.ts";
import { meanSquare, weighByImportance } from "./ggml-weights.ts";

const { fround } = Math;

/** Tensor types that cusprun writes to GGUF files. */
export type WrittenGgmlType = FloatDType | "Q8_0" | "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "Q4_K" | "Q5_K" | "Q6_K";

/** Values in a block of the types below. */
const QK = 32;

/**
 * Values as the bytes of a type, little-endian, in a new array.
 * @param values whole blocks; finite.
 * @param importance weight of each column's squared error, [columns]: finite, none negative. The values are then whole
 * rows. Float types and Q8_0 have no choice to make and ignore it, as in llama.cpp.
 * @throws RangeError (a defect of the caller) if the values are not a whole number of blocks, or of rows of whole
 * blocks.
 */
export function quantize(
  type: WrittenGgmlType,
  values: Float32Array,
  importance: Float32Array | null = null,
): Uint8Array<ArrayBuffer> {
  if (type === "F32" || type === "F16" || type === "BF16") return narrowFromFloat32(values, type);
  const { blockSize, blockBytes } = GGML_BLOCK_FORMATS[type];
  if (values.length % blockSize !== 0) throw new RangeError(`${values.length} values are not whole blocks of ${type}`);
  if (importance !== null && (values.length % importance.length !== 0 || importance.length % blockSize !== 0)) {
    throw new RangeError(`${values.length} values are not whole rows of ${importance.length}, in blocks of ${type}`);
  }
  const bytes = new Uint8Array((values.length / blockSize) * blockBytes);
  switch (type) {
    case "Q8_0":
      quantizeQ8(values, bytes);
      break;
    case "Q4_0":
      if (importance === null) quantizeSymmetric(values, bytes, 4);
      else quantizeWeighted(values, bytes, 4, false, importance);
      break;
    case "Q4_1":
      if (importance === null) quantizeWithMinimum(values, bytes, 4);
      else quantizeWeighted(values, bytes, 4, true, importance);
      break;
    case "Q5_0":
      if (importance === null) quantizeSymmetric(values, bytes, 5);
      else quantizeWeighted(values, bytes, 5, false, importance);
      break;
    case "Q5_1":
      if (importance === null) quantizeWithMinimum(values, bytes, 5);
      else quantizeWeighted(values, bytes, 5, true, importance);
      break;
    case "Q4_K":
      quantizeQ4K(values, bytes, importance);
      break;
    case "Q5_K":
      quantizeQ5K(values, bytes, importance);
      break;
    case "Q6_K":
      quantizeQ6K(values, bytes, importance);
      break;
    default:
      throw type satisfies never;
  }
  return bytes;
}

/** Q8_0: d = max|x| / 127, quants rounded half away from zero. */
function quantizeQ8(values: Float32Array, bytes: Uint8Array): void {
  for (let at = 0, to = 0; at < values.length; at += QK, to += 34) {
    let largest = 0;
    for (let i = 0; i < QK; i++) largest = Math.max(largest, Math.abs(values[at + i]!));
    const d = fround(largest / 127);
    const inverse = d === 0 ? 0 : fround(1 / d);
    writeFloat16(bytes, to, d);
    for (let i = 0; i < QK; i++) {
      const scaled = fround(values[at + i]! * inverse);
      bytes[to + 2 + i] = scaled < 0 ? -roundHalfUp(-scaled) : roundHalfUp(scaled);
    }
  }
}

/** C's `roundf` of a non-negative value. */
function roundHalfUp(value: number): number {
  return Math.floor(value + 0.5);
}

/**
 * Q4_0, Q5_0: d = (the value of largest magnitude) / −2^(bits−1), which represents this value exactly; q = x/d +
 * 2^(bits−1).
 */
function quantizeSymmetric(values: Float32Array, bytes: Uint8Array, bits: 4 | 5): void {
  const half = 2 ** (bits - 1);
  const blockBytes = bits === 4 ? 18 : 22;
  const quants = new Uint8Array(QK);
  for (let at = 0, to = 0; at < values.length; at += QK, to += blockBytes) {
    let extreme = 0;
    for (let i = 0; i < QK; i++) if (Math.abs(extreme) < Math.abs(values[at + i]!)) extreme = values[at + i]!;
    const d = fround(extreme / -half);
    const inverse = d === 0 ? 0 : fround(1 / d);
    writeFloat16(bytes, to, d);
    for (let i = 0; i < QK; i++) {
      const shifted = fround(fround(values[at + i]! * inverse) + (half + 0.5));
      quants[i] = Math.min(2 * half - 1, Math.trunc(shifted));
    }
    packQuants(quants, bytes, to + 2, bits);
  }
}

/** Q4_1, Q5_1: d = (max − min) / (2^bits − 1); q = (x − min) / d. */
function quantizeWithMinimum(values: Float32Array, bytes: Uint8Array, bits: 4 | 5): void {
  const largestQuant = 2 ** bits - 1;
  const blockBytes = bits === 4 ? 20 : 24;
  const quants = new Uint8Array(QK);
  for (let at = 0, to = 0; at < values.length; at += QK, to += blockBytes) {
    let min = Infinity;
    let max = -Infinity;
    for (let i = 0; i < QK; i++) {
      min = Math.min(min, values[at + i]!);
      max = Math.max(max, values[at + i]!);
    }
    const d = fround(fround(max - min) / largestQuant);
    const inverse = d === 0 ? 0 : fround(1 / d);
    writeFloat16(bytes, to, d);
    writeFloat16(bytes, to + 2, min);
    for (let i = 0; i < QK; i++) {
      const shifted = fround(fround(fround(values[at + i]! - min) * inverse) + 0.5);
      quants[i] = Math.min(largestQuant, Math.trunc(shifted));
    }
    packQuants(quants, bytes, to + 4, bits);
  }
}

/**
 * Q4_0 to Q5_1, by a search for the scale with the least weighted error. The quants are those of the scale before it is
 * rounded to binary16.
 * @param importance of each column.
 */
function quantizeWeighted(
  values: Float32Array,
  bytes: Uint8Array,
  bits: 4 | 5,
  hasMinimum: boolean,
  importance: Float32Array,
): void {
  const search = { ...WEIGHTED_SEARCH, largestQuant: 2 ** bits - 1 };
  const headBytes = hasMinimum ? 4 : 2;
  const blockBytes = headBytes + 4 * bits;
  const quants = new Uint8Array(QK);
  const weights = new Float32Array(QK);
  for (let row = 0, to = 0; row < values.length; row += importance.length) {
    const level = meanSquare(values.subarray(row, row + importance.length));
    for (let column = 0; column < importance.length; column += QK, to += blockBytes) {
      const block = values.subarray(row + column, row + column + QK);
      weighByImportance(block, importance.subarray(column), level, weights);
      if (hasMinimum) {
        const { scale, minimum } = findScaleAndMinimum(block, weights, quants, search);
        writeFloat16(bytes, to, scale);
        writeFloat16(bytes, to + 2, -minimum);
      } else writeFloat16(bytes, to, findScale(block, weights, quants, 2 ** (bits - 1)));
      packQuants(quants, bytes, to + headBytes, bits);
    }
  }
}

/**
 * 32 quants. Of 5 bits: the fifth bits first, as a little-endian uint32. Then 16 bytes of nibbles, values 0–15 low,
 * 16–31 high.
 */
function packQuants(quants: Uint8Array, bytes: Uint8Array, to: number, bits: 4 | 5): void {
  let nibbles = to;
  if (bits === 5) {
    for (let byte = 0; byte < 4; byte++) {
      let fifths = 0;
      for (let bit = 0; bit < 8; bit++) fifths |= (quants[byte * 8 + bit]! >> 4) << bit;
      bytes[to + byte] = fifths;
    }
    nibbles += 4;
  }
  for (let i = 0; i < 16; i++) bytes[nibbles + i] = (quants[i]! & 15) | ((quants[16 + i]! & 15) << 4);
}
