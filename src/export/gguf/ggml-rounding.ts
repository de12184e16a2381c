/**
 * @file Rounding functions that GGML's quantisers share.
 */

import { narrowFromFloat32 } from "../../float-convert.ts";

const single = new Float32Array(1);

/** Writes a value as binary16, little-endian, and returns its bit pattern. */
export function writeFloat16(bytes: Uint8Array, at: number, value: number): number {
  single[0] = value;
  const [low = 0, high = 0] = narrowFromFloat32(single, "F16");
  bytes[at] = low;
  bytes[at + 1] = high;
  return low | (high << 8);
}

/** 1.5 · 2^23: added to an f32 under 2^22, it leaves no fractional digits. */
const NO_FRACTION = 12_582_912;

const pattern = new Int32Array(single.buffer);

/**
 * GGML's `nearest_int`: an f32 of magnitude under 2^22 to the nearest integer, ties to even. For larger values and NaN,
 * the result is whatever their bits are, as in C: very different weights lead there, and the callers clamp the result.
 */
export function nearestInteger(value: number): number {
  single[0] = value + NO_FRACTION;
  return (pattern[0]! & 0x7f_ffff) - 0x40_0000;
}
