/**
 * @file Conversion of whole arrays between the bytes of a checkpoint (little-endian F32, F16, BF16) and f32.
 *
 * Widening is exact. Narrowing rounds to nearest, ties to even; it overflows to infinity, preserves subnormals, and
 * preserves the sign and upper payload of NaNs, so widening and then narrowing reproduces each of the 65,536 patterns.
 * Source: IEEE 754 (binary16, binary32); bfloat16 is the upper half of binary32. The host must be little-endian, as are
 * all platforms of ONNX Runtime.
 */

import type { FloatDType } from "./tensor.ts";
import { FLOAT_DTYPE_BYTES } from "./tensor.ts";

/**
 * Converts little-endian bytes to f32, in a new array.
 * @param bytes a whole number of elements, with any alignment.
 * @throws RangeError (a bug in the caller) if the length is not a multiple of the element size.
 */
export function widenToFloat32(bytes: Uint8Array, dtype: FloatDType): Float32Array<ArrayBuffer> {
  const count = bytes.byteLength / FLOAT_DTYPE_BYTES[dtype];
  if (!Number.isInteger(count)) throw new RangeError(`${bytes.byteLength} bytes are not a whole number of ${dtype} elements`);
  const values = new Float32Array(count);
  switch (dtype) {
    case "F32":
      new Uint8Array(values.buffer).set(bytes);
      break;
    case "BF16": {
      const halves = asUint16(bytes);
      const bits = new Uint32Array(values.buffer);
      for (let i = 0; i < count; i++) bits[i] = halves[i]! << 16;
      break;
    }
    case "F16": {
      const halves = asUint16(bytes);
      const bits = new Uint32Array(values.buffer);
      const table = float16Table();
      for (let i = 0; i < count; i++) bits[i] = table[halves[i]!]!;
      break;
    }
    default:
      throw dtype satisfies never;
  }
  return values;
}

/** Rounds values to a dtype. Returns little-endian bytes in a new array. */
export function narrowFromFloat32(values: Float32Array, dtype: FloatDType): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.length * FLOAT_DTYPE_BYTES[dtype]);
  switch (dtype) {
    case "F32":
      bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      break;
    case "BF16": {
      const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
      const halves = new Uint16Array(bytes.buffer);
      for (let i = 0; i < bits.length; i++) halves[i] = bfloat16FromBits(bits[i]!);
      break;
    }
    case "F16": {
      const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
      const halves = new Uint16Array(bytes.buffer);
      for (let i = 0; i < bits.length; i++) halves[i] = float16FromBits(bits[i]!);
      break;
    }
    default:
      throw dtype satisfies never;
  }
  return bytes;
}

/** The bytes as 16-bit words, copied only if they are not aligned. */
function asUint16(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
}

const F32_INFINITY = 0x7f80_0000;

/** bfloat16 pattern nearest to an f32 pattern. */
function bfloat16FromBits(bits: number): number {
  if ((bits & 0x7fff_ffff) > F32_INFINITY) {
    const upper = bits >>> 16;
    return (upper & 0x7f) === 0 ? upper | 1 : upper; // a payload only in the lower half must not become infinity
  }
  // Adds half a unit in the last kept place, minus one if that place is even: ties then round to even.
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** binary16 pattern nearest to an f32 pattern. */
function float16FromBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > F32_INFINITY) {
    const payload = (magnitude >>> 13) & 0x3ff;
    return sign | 0x7c00 | (payload === 0 ? 1 : payload);
  }
  if (magnitude >= 0x4780_0000) return sign | 0x7c00; // 65,536 and above
  if (magnitude >= 0x3880_0000) {
    // Normal, 2^-14 and above: exponent bias 127 → 15, then 23 → 10 mantissa bits. Rounding may carry into the
    // exponent, up to infinity.
    const rebiased = magnitude - 0x3800_0000;
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
  }
  // Subnormal: count multiples of 2^-24 in mantissa · 2^(exponent - 150).
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return sign; // below half of the smallest subnormal
  const mantissa = (magnitude & 0x7f_ffff) | 0x80_0000;
  const quotient = mantissa >>> shift;
  const remainder = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  const roundsUp = remainder > half || (remainder === half && (quotient & 1) === 1);
  return sign | (quotient + (roundsUp ? 1 : 0));
}

let float16Bits: Uint32Array | undefined;

/** The f32 pattern of each binary16 pattern, 256 KiB, computed once. */
function float16Table(): Uint32Array {
  float16Bits ??= Uint32Array.from({ length: 65_536 }, (_, pattern) => float32BitsOfFloat16(pattern));
  return float16Bits;
}

function float32BitsOfFloat16(pattern: number): number {
  const sign = (pattern & 0x8000) << 16;
  const exponent = (pattern >>> 10) & 0x1f;
  const mantissa = pattern & 0x3ff;
  if (exponent === 0x1f) return sign | F32_INFINITY | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // Subnormal: mantissa · 2^-24. Shift its leading one to the position of the implicit bit.
  const leading = 31 - Math.clz32(mantissa);
  return sign | ((leading + 103) << 23) | ((mantissa << (23 - leading)) & 0x7f_ffff);
}
