/**
 * @file f32 rows → the blocks of ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized`: 32 values of a row share a
 * scale, and with 4 bits a zero point; a value is (quant − zero point) · scale. With 8 bits the zero point is 128, the
 * default of both operators. Source of the layout: `ContribOperators.md` of microsoft/onnxruntime.
 */

import { narrowFromFloat32, widenToFloat32 } from "../../float-convert.ts";

/** Values that share a scale. */
export const QUANT_BLOCK = 32;

/** Zero point of 8-bit quants. */
const MIDDLE_8 = 128;
/** Largest 4-bit quant. */
const LARGEST_4 = 15;
/**
 * Shares of a block's range that are tried: less than the full range clips the outermost values and represents the
 * others better. Trying more shares lowers the squared error by under 0.1%.
 */
const RANGE_SHARES = [0.84, 0.88, 0.92, 0.96, 1, 1.04];

/** Number of blocks of a row, the last of which may be padded. */
export function blocksOf(rowLength: number): number {
  return Math.ceil(rowLength / QUANT_BLOCK);
}

/** Number of bytes of a row's zero points, two in a byte. */
export function zeroPointRowBytes(rowLength: number): number {
  return Math.ceil(blocksOf(rowLength) / 2);
}

/** A block of f32 → its quants, scale and zero point. */
interface BlockFit {
  readonly quants: Uint8Array;
  scale: number;
  zeroPoint: number;
}

/**
 * Quantizes rows to 8 bits: scale max|x| / 127, as GGML's Q8_0, whose blocks are preserved exactly.
 * @param values [rows, rowLength], finite.
 * @returns u8 [rows, blocks · 32], and binary16 [rows, blocks] as bytes.
 */
export function quantizeRows8(
  values: Float32Array,
  rowLength: number,
): [quants: Uint8Array<ArrayBuffer>, scales: Uint8Array<ArrayBuffer>] {
  const blocks = blocksOf(rowLength);
  const rows = values.length / rowLength;
  const quants = new Uint8Array(rows * blocks * QUANT_BLOCK);
  const scales = new Float32Array(rows * blocks);
  forEachBlock(values, rowLength, (block, index) => {
    let largest = 0;
    for (let i = 0; i < QUANT_BLOCK; i++) largest = Math.max(largest, Math.abs(block[i]!));
    scales[index] = largest / 127;
  });
  const stored = narrowFromFloat32(scales, "F16");
  const rounded = widenToFloat32(stored, "F16");
  forEachBlock(values, rowLength, (block, index) => {
    const scale = rounded[index]!;
    const inverse = scale === 0 ? 0 : 1 / scale;
    for (let i = 0; i < QUANT_BLOCK; i++) {
      quants[index * QUANT_BLOCK + i] = MIDDLE_8 + Math.max(-127, Math.min(127, Math.round(block[i]! * inverse)));
    }
  });
  return [quants, stored];
}

/**
 * Quantizes rows to 4 bits, each block with the scale and zero point of least error among those tried.
 * @param values [rows, rowLength], finite.
 * @returns u8 [rows, blocks · 16], the even value in a byte's low half; binary16 [rows, blocks] as bytes; zero points,
 * u8 [rows, blocks / 2].
 */
export function quantizeRows4(
  values: Float32Array,
  rowLength: number,
): [quants: Uint8Array<ArrayBuffer>, scales: Uint8Array<ArrayBuffer>, zeroPoints: Uint8Array<ArrayBuffer>] {
  const blocks = blocksOf(rowLength);
  const rows = values.length / rowLength;
  const zeroBytes = zeroPointRowBytes(rowLength);
  const quants = new Uint8Array((rows * blocks * QUANT_BLOCK) / 2);
  const scales = new Float32Array(rows * blocks);
  const zeroPoints = new Uint8Array(rows * zeroBytes);
  const fit: BlockFit = { quants: new Uint8Array(QUANT_BLOCK), scale: 0, zeroPoint: 0 };
  forEachBlock(values, rowLength, (block, index) => {
    fitBlock(block, fit);
    scales[index] = fit.scale;
    const [row, column] = [Math.floor(index / blocks), index % blocks];
    zeroPoints[row * zeroBytes + (column >> 1)]! |= fit.zeroPoint << (4 * (column & 1));
    for (let i = 0; i < QUANT_BLOCK; i += 2) {
      quants[(index * QUANT_BLOCK + i) / 2] = fit.quants[i]! | (fit.quants[i + 1]! << 4);
    }
  });
  return [quants, narrowFromFloat32(scales, "F16"), zeroPoints];
}

/** Visits every block of every row, the last of a row padded with zeros. The array is reused. */
function forEachBlock(values: Float32Array, rowLength: number, visit: (block: Float32Array, index: number) => void): void {
  const block = new Float32Array(QUANT_BLOCK);
  let index = 0;
  for (let row = 0; row < values.length; row += rowLength) {
    for (let start = row; start < row + rowLength; start += QUANT_BLOCK) {
      const end = Math.min(start + QUANT_BLOCK, row + rowLength);
      for (let i = 0; i < QUANT_BLOCK; i++) block[i] = start + i < end ? values[start + i]! : 0;
      visit(block, index++);
    }
  }
}

/**
 * Least weighted squared error: of given quants q and zero point z the best scale is Σwx(q−z) / Σw(q−z)², and the error
 * falls by (Σwx(q−z))² / Σw(q−z)². A weight is |x| plus the root mean square of all, as in GGML's K-quants: large
 * values weigh more.
 */
function fitBlock(block: Float32Array, fit: BlockFit): void {
  let low = 0;
  let high = 0;
  let squares = 0;
  for (let i = 0; i < QUANT_BLOCK; i++) {
    low = Math.min(low, block[i]!);
    high = Math.max(high, block[i]!);
    squares += block[i]! * block[i]!;
  }
  const rootMeanSquare = Math.sqrt(squares / QUANT_BLOCK);
  fit.quants.fill(0);
  fit.scale = 0;
  fit.zeroPoint = 0;
  if (low === high) return;
  let best = 0;
  let bestInverse = 0;
  for (const share of RANGE_SHARES) {
    const inverse = LARGEST_4 / (share * (high - low));
    const exact = (-low / (high - low)) * LARGEST_4;
    for (let zeroPoint = Math.floor(exact); zeroPoint <= Math.ceil(exact); zeroPoint++) {
      let product = 0;
      let square = 0;
      for (let i = 0; i < QUANT_BLOCK; i++) {
        const level = nearestQuant(block[i]! * inverse + zeroPoint) - zeroPoint;
        const weighted = (rootMeanSquare + Math.abs(block[i]!)) * level;
        product += weighted * block[i]!;
        square += weighted * level;
      }
      if (square === 0 || (product * product) / square <= best) continue;
      best = (product * product) / square;
      bestInverse = inverse;
      fit.zeroPoint = zeroPoint;
      fit.scale = product / square;
    }
  }
  for (let i = 0; i < QUANT_BLOCK; i++) fit.quants[i] = nearestQuant(block[i]! * bestInverse + fit.zeroPoint);
}

function nearestQuant(value: number): number {
  return value <= 0 ? 0 : value >= LARGEST_4 ? LARGEST_4 : Math.floor(value + 0.5);
}
