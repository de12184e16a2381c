/**
 * @file Values of GGML's blocks as f32: entry point, and the types with blocks of 32 (Q4_0 to Q8_0).
 *
 * Bit-exact against `gguf.quants.dequantize` of the `gguf` Python package, which computes every step in f32. A scale
 * has 11 significant bits, a sub-block scale at most 8 and a quant at most 6, so every product below is exact in f32
 * and in f64, and the only sum is rounded once, when it is stored. Layouts: `block_q*` of ggml-org/ggml
 * `src/ggml-common.h`.
 */

import { widenToFloat32 } from "../../float-convert.ts";
import type { StoredDType } from "../checkpoint.ts";
import { float16Values } from "./ggml-float16.ts";
import { dequantizeQ2K, dequantizeQ3K, dequantizeQ4K, dequantizeQ5K, dequantizeQ6K } from "./ggml-k-quants.ts";
import { GGML_BLOCK_FORMATS } from "./ggml-types.ts";

/**
 * Writes the values of whole blocks into `out`.
 * @param bytes the blocks; any alignment.
 * @param out one f32 per value.
 * @throws RangeError (a defect of the caller) if the two lengths do not match.
 */
export function dequantizeInto(type: StoredDType, bytes: Uint8Array, out: Float32Array): void {
  const { blockSize, blockBytes } = GGML_BLOCK_FORMATS[type];
  if (bytes.length % blockBytes !== 0 || (bytes.length / blockBytes) * blockSize !== out.length) {
    throw new RangeError(`${bytes.length} bytes of ${type} do not hold ${out.length} values`);
  }
  switch (type) {
    case "F32":
    case "F16":
    case "BF16":
      out.set(widenToFloat32(bytes, type));
      return;
    case "Q4_0":
      return dequantizeQ4(bytes, out, false);
    case "Q4_1":
      return dequantizeQ4(bytes, out, true);
    case "Q5_0":
      return dequantizeQ5(bytes, out, false);
    case "Q5_1":
      return dequantizeQ5(bytes, out, true);
    case "Q8_0":
      return dequantizeQ8(bytes, out);
    case "Q2_K":
      return dequantizeQ2K(bytes, out);
    case "Q3_K":
      return dequantizeQ3K(bytes, out);
    case "Q4_K":
      return dequantizeQ4K(bytes, out);
    case "Q5_K":
      return dequantizeQ5K(bytes, out);
    case "Q6_K":
      return dequantizeQ6K(bytes, out);
    default:
      throw type satisfies never;
  }
}

/**
 * Q4_0: scale f16, 16 bytes of nibbles (values 0–15 low, 16–31 high); d·(q − 8).
 * Q4_1: scale and minimum f16, then the same nibbles; d·q + m.
 */
function dequantizeQ4(bytes: Uint8Array, out: Float32Array, hasMinimum: boolean): void {
  const float16 = float16Values();
  const headBytes = hasMinimum ? 4 : 2;
  const zeroPoint = hasMinimum ? 0 : 8;
  for (let at = 0, to = 0; to < out.length; at += headBytes + 16, to += 32) {
    const d = float16[bytes[at]! | (bytes[at + 1]! << 8)]!;
    // −0 is neutral in a sum, unlike 0, which would turn a product of −0 into 0.
    const m = hasMinimum ? float16[bytes[at + 2]! | (bytes[at + 3]! << 8)]! : -0;
    const qs = at + headBytes;
    for (let i = 0; i < 16; i++) {
      const q = bytes[qs + i]!;
      out[to + i] = d * ((q & 15) - zeroPoint) + m;
      out[to + 16 + i] = d * ((q >> 4) - zeroPoint) + m;
    }
  }
}

/** Q5_0, Q5_1: as Q4_0 and Q4_1, with a fifth bit per value in a little-endian uint32 before the nibbles. */
function dequantizeQ5(bytes: Uint8Array, out: Float32Array, hasMinimum: boolean): void {
  const float16 = float16Values();
  const headBytes = hasMinimum ? 4 : 2;
  const zeroPoint = hasMinimum ? 0 : 16;
  for (let at = 0, to = 0; to < out.length; at += headBytes + 20, to += 32) {
    const d = float16[bytes[at]! | (bytes[at + 1]! << 8)]!;
    const m = hasMinimum ? float16[bytes[at + 2]! | (bytes[at + 3]! << 8)]! : -0;
    const qh = at + headBytes;
    const lowHalf = bytes[qh]! | (bytes[qh + 1]! << 8);
    const highHalf = bytes[qh + 2]! | (bytes[qh + 3]! << 8);
    const qs = qh + 4;
    for (let i = 0; i < 16; i++) {
      const q = bytes[qs + i]!;
      out[to + i] = d * (((q & 15) | (((lowHalf >> i) & 1) << 4)) - zeroPoint) + m;
      out[to + 16 + i] = d * (((q >> 4) | (((highHalf >> i) & 1) << 4)) - zeroPoint) + m;
    }
  }
}

/** Q8_0: scale f16, 32 int8; d·q. */
function dequantizeQ8(bytes: Uint8Array, out: Float32Array): void {
  const float16 = float16Values();
  const quants = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0, to = 0; to < out.length; at += 34, to += 32) {
    const d = float16[bytes[at]! | (bytes[at + 1]! << 8)]!;
    for (let i = 0; i < 32; i++) out[to + i] = d * quants[at + 2 + i]!;
  }
}
