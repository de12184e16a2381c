/**
 * @file f32 → blocks of GGML's Q4_K, Q5_K and Q6_K: 256 values in sub-blocks whose scales are themselves quantised.
 * Source and exactness: see `ggml-quantize.ts`; here `quantize_row_q4_K_ref`, `_q5_K_ref`, `_q6_K_ref`, and with
 * importances `quantize_row_q4_K_impl`, `_q5_K_impl`, `_q6_K_impl`. Layouts: `ggml-k-quants.ts`.
 */

import { float16Values } from "../../checkpoint/gguf/ggml-float16.ts";
import { minimumOf, scaleOf } from "../../checkpoint/gguf/ggml-k-quants.ts";
import { nearestInteger, writeFloat16 } from "./ggml-rounding.ts";
import { findPositiveScale, findScale, findScaleAndMinimum, NEGLIGIBLE, type ScaleSearch } from "./ggml-scale-search.ts";
import { meanSquare, sumOfWeights, weighByImportance, weighByMagnitude, weighBySquare } from "./ggml-weights.ts";

const { fround } = Math;

/** Values in a block. */
const QK = 256;

/** The parameters in which Q4_K and Q5_K differ. */
interface MinimumFormat {
  readonly bits: 4 | 5;
  readonly blockBytes: number;
  readonly search: ScaleSearch;
}

const Q4_K: MinimumFormat = { bits: 4, blockBytes: 144, search: { largestQuant: 15, first: -1, step: fround(0.1), steps: 20 } };
const Q5_K: MinimumFormat = { bits: 5, blockBytes: 176, search: { largestQuant: 31, first: -0.5, step: fround(0.1), steps: 15 } };

/** The scales that the search with importances tries. */
export const WEIGHTED_SEARCH: Omit<ScaleSearch, "largestQuant"> = { first: fround(-0.9), step: fround(0.05), steps: 36 };

/** Largest 6-bit scale or minimum. */
const LARGEST_SCALE = 63;

/**
 * Whole blocks of 256 values → 144 bytes each. The caller has checked the lengths.
 * @param importance of each column; the values are then whole rows.
 */
export function quantizeQ4K(values: Float32Array, bytes: Uint8Array, importance: Float32Array | null): void {
  quantizeWithMinima(values, bytes, Q4_K, importance);
}

/** Whole blocks of 256 values → 176 bytes each; otherwise as `quantizeQ4K`. */
export function quantizeQ5K(values: Float32Array, bytes: Uint8Array, importance: Float32Array | null): void {
  quantizeWithMinima(values, bytes, Q5_K, importance);
}

/** x ≈ d·scale·q − dmin·minimum, with a scale and a minimum for each 32 values. */
function quantizeWithMinima(
  values: Float32Array,
  bytes: Uint8Array,
  { bits, blockBytes, search }: MinimumFormat,
  importance: Float32Array | null,
): void {
  const float16 = float16Values();
  const { largestQuant } = search;
  const ownSearch = importance === null ? search : { ...WEIGHTED_SEARCH, largestQuant };
  const quants = new Uint8Array(QK);
  const weights = new Float32Array(32);
  const [scales, minima, weightSums] = [new Float32Array(8), new Float32Array(8), new Float32Array(8)];
  const [sixBitScales, sixBitMinima] = [new Uint8Array(8), new Uint8Array(8)];
  for (let at = 0, to = 0; at < values.length; at += QK, to += blockBytes) {
    const level = importance === null ? 0 : meanSquare(values.subarray(at, at + QK), 2);
    for (let sub = 0; sub < 8; sub++) {
      const from = at + 32 * sub;
      const part = values.subarray(from, from + 32);
      if (importance === null) weighByMagnitude(part, weights);
      else {
        weighByImportance(part, importance.subarray(from % importance.length), level, weights);
        weightSums[sub] = sumOfWeights(weights);
      }
      const found = findScaleAndMinimum(part, weights, quants.subarray(32 * sub, 32 * sub + 32), ownSearch);
      scales[sub] = found.scale;
      minima[sub] = found.minimum;
    }
    const sums = importance === null ? null : weightSums;
    const d = float16[writeFloat16(bytes, to, quantizeScales(scales, sums, sixBitScales, bits))]!;
    const dmin = float16[writeFloat16(bytes, to + 2, quantizeScales(minima, sums, sixBitMinima, bits))]!;
    for (let sub = 0; sub < 8; sub++) packScale(bytes, to + 4, sub, sixBitScales[sub]!, sixBitMinima[sub]!);
    for (let sub = 0; sub < 8; sub++) {
      const step = fround(d * scaleOf(bytes, to + 4, sub));
      if (step === 0) continue; // keeps the quants that were found
      const offset = fround(dmin * minimumOf(bytes, to + 4, sub));
      for (let i = 32 * sub; i < 32 * sub + 32; i++) {
        const quant = nearestInteger(fround(fround(values[at + i]! + offset) / step));
        quants[i] = Math.max(0, Math.min(largestQuant, quant));
      }
    }
    if (bits === 5) packFifthBits(quants, bytes, to + 16);
    packNibbles(quants, bytes, to + blockBytes - 128);
  }
}

/**
 * A block's scales (or minima) as 6 bits each.
 * @param weightSums weight of each part's error; null: the largest scale is represented exactly.
 * @param bits of a quant: the source clamps the weighted scales of Q5_K, but not of Q4_K. Only negative values come out
 * over 63, if almost no column of a part has an importance; then the value read back from the packed bits is used.
 * @returns the factor of the 6-bit values.
 */
function quantizeScales(scales: Float32Array, weightSums: Float32Array | null, sixBitScales: Uint8Array, bits: 4 | 5): number {
  if (weightSums !== null) {
    const scale = findPositiveScale(scales, weightSums, sixBitScales, LARGEST_SCALE);
    if (bits === 5) for (let sub = 0; sub < scales.length; sub++) sixBitScales[sub] = sixBits(sixBitScales[sub]!);
    return scale;
  }
  const largest = Math.max(0, ...scales);
  const inverse = largest > 0 ? fround(LARGEST_SCALE / largest) : 0;
  for (let sub = 0; sub < scales.length; sub++) sixBitScales[sub] = sixBits(nearestInteger(fround(inverse * scales[sub]!)));
  return fround(largest / LARGEST_SCALE);
}

/** Converts to `uint8_t` as C does, then clamps. */
function sixBits(value: number): number {
  return Math.min(LARGEST_SCALE, value & 255);
}

/**
 * The upper four sub-blocks have their low bits in the last four bytes and their high bits above those of the lower
 * four.
 */
function packScale(bytes: Uint8Array, at: number, sub: number, scale: number, minimum: number): void {
  if (sub < 4) {
    bytes[at + sub] = scale;
    bytes[at + sub + 4] = minimum;
    return;
  }
  bytes[at + sub + 4] = (scale & 15) | ((minimum & 15) << 4);
  bytes[at + sub - 4]! |= (scale >> 4) << 6;
  bytes[at + sub]! |= (minimum >> 4) << 6;
}

/** Bit `sub` of byte i is the fifth bit of value i of the sub-block. */
function packFifthBits(quants: Uint8Array, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 32; i++) {
    let fifths = 0;
    for (let sub = 0; sub < 8; sub++) fifths |= (quants[32 * sub + i]! >> 4) << sub;
    bytes[at + i] = fifths;
  }
}

/** 32 bytes for two sub-blocks: low nibbles the first, high nibbles the second. */
function packNibbles(quants: Uint8Array, bytes: Uint8Array, at: number): void {
  for (let pair = 0; pair < 4; pair++) {
    for (let i = 0; i < 32; i++) {
      bytes[at + 32 * pair + i] = (quants[64 * pair + i]! & 15) | ((quants[64 * pair + 32 + i]! & 15) << 4);
    }
  }
}

/**
 * Whole blocks of 256 values → 210 bytes each: x ≈ d·scale·(q − 32), with an int8 scale for each 16 values. Otherwise
 * as `quantizeQ4K`.
 */
export function quantizeQ6K(values: Float32Array, bytes: Uint8Array, importance: Float32Array | null): void {
  const float16 = float16Values();
  const quants = new Uint8Array(QK);
  const squares = new Float32Array(16);
  const scales = new Float32Array(16);
  for (let at = 0, to = 0; at < values.length; at += QK, to += 210) {
    let extreme = 0;
    for (let sub = 0; sub < 16; sub++) {
      const from = at + 16 * sub;
      const part = values.subarray(from, from + 16);
      if (importance === null) weighBySquare(part, squares);
      const weights = importance?.subarray(from % importance.length) ?? squares;
      const scale = findScale(part, weights, quants.subarray(16 * sub, 16 * sub + 16), 32);
      scales[sub] = scale;
      if (Math.abs(scale) > Math.abs(extreme)) extreme = scale;
    }
    if (Math.abs(extreme) < NEGLIGIBLE) continue; // a block of zero bytes
    const inverse = fround(-128 / extreme);
    const d = float16[writeFloat16(bytes, to + 208, fround(1 / inverse))]!;
    for (let sub = 0; sub < 16; sub++) {
      const scale = Math.min(127, nearestInteger(fround(inverse * scales[sub]!)));
      bytes[to + 192 + sub] = scale;
      const step = fround(d * scale);
      if (step === 0) continue; // keeps the quants that were found
      for (let i = 16 * sub; i < 16 * sub + 16; i++) {
        const quant = nearestInteger(fround(values[at + i]! / step));
        quants[i] = Math.max(-32, Math.min(31, quant)) + 32;
      }
    }
    packSixBits(quants, bytes, to);
  }
}

/**
 * Each half block has 64 bytes of nibbles and, after all nibbles, 32 bytes of high pairs for its four runs of 32
 * values.
 */
function packSixBits(quants: Uint8Array, bytes: Uint8Array, to: number): void {
  for (let half = 0; half < 2; half++) {
    const low = to + 64 * half;
    const high = to + 128 + 32 * half;
    for (let i = 0; i < 32; i++) {
      const from = 128 * half + i;
      const [a, b, c, d] = [quants[from]!, quants[from + 32]!, quants[from + 64]!, quants[from + 96]!];
      bytes[low + i] = (a & 15) | ((c & 15) << 4);
      bytes[low + 32 + i] = (b & 15) | ((d & 15) << 4);
      bytes[high + i] = (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((d >> 4) << 6);
    }
  }
}
