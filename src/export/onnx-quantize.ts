/**
 * @file f32 rows → the blocks of ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized`: 32 values of a row share a scale, a value is
 * (quant − 2^(bits−1)) · scale. Symmetric: no zero points are stored, both operators take the middle.
 * Source of the layout: `ContribOperators.md` of microsoft/onnxruntime.
 */

import { narrowFromFloat32, widenToFloat32 } from "../float-convert.ts";
import { findScale } from "./ggml-scale-search.ts";

/** Values that share a scale. */
export const QUANT_BLOCK = 32;

/** Bytes of a row's quants, its last block filled up. */
export function quantRowBytes(rowLength: number, bits: 4 | 8): number {
  return (blocksOf(rowLength) * QUANT_BLOCK * bits) / 8;
}

/** Blocks of a row, the last of which may be filled up. */
export function blocksOf(rowLength: number): number {
  return Math.ceil(rowLength / QUANT_BLOCK);
}

/** Rows as quants and scales. */
export interface QuantizedRows {
  /** u8 [rows, blocks · 32 · bits / 8]; of 4 bits the even value is in a byte's low half. */
  readonly quants: Uint8Array<ArrayBuffer>;
  /** binary16 [rows, blocks], little-endian. */
  readonly scales: Uint8Array<ArrayBuffer>;
}

/**
 * Quantises rows.
 * @param values [rows, rowLength], finite.
 */
export function quantizeRows(values: Float32Array, rowLength: number, bits: 4 | 8): QuantizedRows {
  const rows = values.length / rowLength;
  const blocks = blocksOf(rowLength);
  const rowBytes = quantRowBytes(rowLength, bits);
  const quants = new Uint8Array(rows * rowBytes);
  const scales = new Float32Array(rows * blocks);
  const block = new Float32Array(QUANT_BLOCK);
  const found = new Uint8Array(QUANT_BLOCK);
  for (let row = 0; row < rows; row++) {
    for (let index = 0; index < blocks; index++) {
      const start = row * rowLength + index * QUANT_BLOCK;
      const part = values.subarray(start, Math.min(start + QUANT_BLOCK, (row + 1) * rowLength));
      block.fill(0);
      block.set(part);
      const to = row * rowBytes + (index * QUANT_BLOCK * bits) / 8;
      scales[row * blocks + index] = bits === 4 ? quantize4(block, found) : quantize8(block, found);
      if (bits === 8) quants.set(found, to);
      else for (let i = 0; i < QUANT_BLOCK; i += 2) quants[to + i / 2] = found[i]! | (found[i + 1]! << 4);
    }
  }
  return { quants, scales: narrowFromFloat32(scales, "F16") };
}

/** Four bits are few enough that the scale is worth a search for the least squared error. */
function quantize4(block: Float32Array, quants: Uint8Array): number {
  return findScale(block, quants, 8);
}

/** Scale max|x| / 127, as GGML's Q8_0, so that its blocks come through unchanged; quants are taken with the scale as it is stored. */
function quantize8(block: Float32Array, quants: Uint8Array): number {
  let largest = 0;
  for (const value of block) largest = Math.max(largest, Math.abs(value));
  const scale = asFloat16(largest / 127);
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let i = 0; i < QUANT_BLOCK; i++) quants[i] = 128 + Math.max(-127, Math.min(127, Math.round(block[i]! * inverse)));
  return scale;
}

const one = new Float32Array(1);

function asFloat16(value: number): number {
  one[0] = value;
  return widenToFloat32(narrowFromFloat32(one, "F16"), "F16")[0]!;
}
