/**
 * @file Values of GGML's K-quants as f32: blocks of 256 in sub-blocks of 16 or 32, whose scales are themselves
 * quantised. Layouts: `block_q*_K` of ggml-org/ggml `src/ggml-common.h`. Exactness: see `ggml-dequantize.ts`.
 *
 * All functions take whole blocks and write 256 f32 per block; the caller has checked the lengths.
 */

import { float16Values } from "./ggml-float16.ts";

/** Values in a block. */
const QK = 256;

/**
 * Q2_K, 84 bytes: 16 bytes of scale (low nibble) and minimum (high) per 16 values, 64 bytes of 2-bit quants, d f16,
 * dmin f16; d·scale·q − dmin·minimum. A byte of quants holds values 32 apart, and 32 bytes hold 128 values.
 */
export function dequantizeQ2K(bytes: Uint8Array, out: Float32Array): void {
  const float16 = float16Values();
  for (let at = 0, to = 0; to < out.length; at += 84, to += QK) {
    const d = float16[bytes[at + 80]! | (bytes[at + 81]! << 8)]!;
    const dmin = float16[bytes[at + 82]! | (bytes[at + 83]! << 8)]!;
    for (let sub = 0; sub < 16; sub++) {
      const scale = d * (bytes[at + sub]! & 15);
      const minimum = dmin * (bytes[at + sub]! >> 4);
      const qs = at + 16 + quarterByte(sub);
      const shift = sub & 6; // 2 bits for every 2 sub-blocks
      const end = to + sub * 16;
      for (let i = 0; i < 16; i++) out[end + i] = scale * ((bytes[qs + i]! >> shift) & 3) - minimum;
    }
  }
}

/**
 * Q3_K, 110 bytes: 32 bytes of third bits, 64 bytes of 2-bit quants as in Q2_K, 12 bytes of 6-bit scales, d f16;
 * d·(scale − 32)·(q − 4), where the third bit counts 4.
 */
export function dequantizeQ3K(bytes: Uint8Array, out: Float32Array): void {
  const float16 = float16Values();
  for (let at = 0, to = 0; to < out.length; at += 110, to += QK) {
    const d = float16[bytes[at + 108]! | (bytes[at + 109]! << 8)]!;
    for (let sub = 0; sub < 16; sub++) {
      const low = (bytes[at + 96 + (sub & 7)]! >> (sub < 8 ? 0 : 4)) & 15;
      const high = (bytes[at + 104 + (sub & 3)]! >> (2 * (sub >> 2))) & 3;
      const scale = d * ((low | (high << 4)) - 32);
      const qs = at + 32 + quarterByte(sub);
      const shift = sub & 6;
      const hmask = at + 16 * (sub & 1);
      const bit = sub >> 1;
      const end = to + sub * 16;
      for (let i = 0; i < 16; i++) {
        const third = ((bytes[hmask + i]! >> bit) & 1) << 2;
        out[end + i] = scale * (((bytes[qs + i]! >> shift) & 3) + third - 4);
      }
    }
  }
}

/** First byte of a sub-block of 16 among 64 bytes of 2-bit quants. */
function quarterByte(sub: number): number {
  return (sub >> 3) * 32 + (sub & 1) * 16;
}

/** Q4_K, 144 bytes: d f16, dmin f16, 12 bytes of scales and minima, 128 bytes of nibbles; d·scale·q − dmin·minimum. */
export function dequantizeQ4K(bytes: Uint8Array, out: Float32Array): void {
  const float16 = float16Values();
  for (let at = 0, to = 0; to < out.length; at += 144, to += QK) {
    const d = float16[bytes[at]! | (bytes[at + 1]! << 8)]!;
    const dmin = float16[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
    for (let sub = 0; sub < 8; sub++) {
      const scale = d * scaleOf(bytes, at + 4, sub);
      const minimum = dmin * minimumOf(bytes, at + 4, sub);
      const qs = at + 16 + (sub >> 1) * 32;
      const shift = 4 * (sub & 1);
      const end = to + sub * 32;
      for (let i = 0; i < 32; i++) out[end + i] = scale * ((bytes[qs + i]! >> shift) & 15) - minimum;
    }
  }
}

/**
 * Q5_K, 176 bytes: as Q4_K, with 32 bytes of fifth bits before the nibbles: bit `sub` of byte i belongs to value i of
 * the sub-block.
 */
export function dequantizeQ5K(bytes: Uint8Array, out: Float32Array): void {
  const float16 = float16Values();
  for (let at = 0, to = 0; to < out.length; at += 176, to += QK) {
    const d = float16[bytes[at]! | (bytes[at + 1]! << 8)]!;
    const dmin = float16[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
    const qh = at + 16;
    for (let sub = 0; sub < 8; sub++) {
      const scale = d * scaleOf(bytes, at + 4, sub);
      const minimum = dmin * minimumOf(bytes, at + 4, sub);
      const qs = at + 48 + (sub >> 1) * 32;
      const shift = 4 * (sub & 1);
      const end = to + sub * 32;
      for (let i = 0; i < 32; i++) {
        const fifth = ((bytes[qh + i]! >> sub) & 1) << 4;
        out[end + i] = scale * (((bytes[qs + i]! >> shift) & 15) | fifth) - minimum;
      }
    }
  }
}

/** 6-bit scale of sub-block 0–7 of Q4_K and Q5_K. The upper four take their low bits from the last four bytes. */
export function scaleOf(bytes: Uint8Array, scales: number, sub: number): number {
  if (sub < 4) return bytes[scales + sub]! & 63;
  return (bytes[scales + 4 + sub]! & 15) | ((bytes[scales + sub - 4]! >> 2) & 48);
}

/** 6-bit minimum of sub-block 0–7 of Q4_K and Q5_K. */
export function minimumOf(bytes: Uint8Array, scales: number, sub: number): number {
  if (sub < 4) return bytes[scales + 4 + sub]! & 63;
  return (bytes[scales + 4 + sub]! >> 4) | ((bytes[scales + sub]! >> 2) & 48);
}

/**
 * Q6_K, 210 bytes: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales, d f16; d·scale·(q − 32).
 * Each half block has 64 bytes of nibbles and 32 bytes of pairs for its 128 values.
 */
export function dequantizeQ6K(bytes: Uint8Array, out: Float32Array): void {
  const float16 = float16Values();
  for (let at = 0, to = 0; to < out.length; at += 210, to += QK) {
    const d = float16[bytes[at + 208]! | (bytes[at + 209]! << 8)]!;
    for (let sub = 0; sub < 16; sub++) {
      const scale = d * ((bytes[at + 192 + sub]! << 24) >> 24); // int8
      const half = sub >> 3;
      const ql = at + half * 64 + (sub & 3) * 16;
      const lowShift = sub & 4;
      const qh = at + 128 + half * 32 + (sub & 1) * 16;
      const highShift = sub & 6;
      const end = to + sub * 16;
      for (let i = 0; i < 16; i++) {
        const high = ((bytes[qh + i]! >> highShift) & 3) << 4;
        out[end + i] = scale * ((((bytes[ql + i]! >> lowShift) & 15) | high) - 32);
      }
    }
  }
}
