/**
 * @file Reads rows of a GGUF tensor in Hugging Face's order, piece by piece, so that the result needs little additional
 * memory.
 */

import type { FileHandle } from "node:fs/promises";
import { elementCount } from "../../tensor.ts";
import type { RowRange } from "../checkpoint.ts";
import { GGML_BLOCK_FORMATS } from "./ggml-types.ts";
import { readFully } from "./cursor.ts";
import type { GgufTensor } from "./layout.ts";
import { interleavedRow } from "./names.ts";

/** Bytes per read: large enough for the disk, small enough for the processor's cache. */
const PIECE_BYTES = 2 ** 20;

/** Row layout of a tensor. A vector has one value per row. */
export interface RowFormat {
  readonly rowCount: number;
  /** Values of a row. */
  readonly rowLength: number;
  readonly rowBytes: number;
}

/** Row layout of a tensor. */
export function rowFormat({ shape, dtype }: GgufTensor): RowFormat {
  const rowLength = shape.length > 1 ? shape.at(-1)! : GGML_BLOCK_FORMATS[dtype].blockSize;
  const { blockSize, blockBytes } = GGML_BLOCK_FORMATS[dtype];
  return { rowCount: elementCount(shape) / rowLength, rowLength, rowBytes: (rowLength / blockSize) * blockBytes };
}

/**
 * Reads rows and passes them on in pieces, in order.
 * @param rows in Hugging Face's order.
 * @param interleavedHeadDim K if the file interleaves the rotary halves of each head, so that whole heads are read;
 * otherwise null.
 * @param take receives a piece's bytes, which the next piece overwrites, and its first row, counted from the start of
 * the range.
 * @throws CusprunError `GGUF_TRUNCATED` if the file was truncated after it was opened.
 */
export async function readRows(
  file: FileHandle,
  tensor: GgufTensor,
  rows: RowRange,
  interleavedHeadDim: number | null,
  path: string,
  take: (bytes: Uint8Array, firstRow: number) => void,
): Promise<void> {
  const { rowBytes } = rowFormat(tensor);
  const group = interleavedHeadDim ?? 1;
  const pieceRows = Math.max(1, Math.floor(PIECE_BYTES / (rowBytes * group))) * group;
  const firstStored = Math.floor(rows.start / group) * group;
  const lastStored = Math.ceil(rows.end / group) * group;
  const stored = new Uint8Array(Math.min(pieceRows, lastStored - firstStored) * rowBytes);
  const ordered = interleavedHeadDim === null ? null : new Uint8Array(stored.length);

  for (let piece = firstStored; piece < lastStored; piece += pieceRows) {
    const pieceEnd = Math.min(piece + pieceRows, lastStored);
    const bytes = stored.subarray(0, (pieceEnd - piece) * rowBytes);
    await readFully(file, bytes, tensor.startByte + piece * rowBytes, path);
    const start = Math.max(piece, rows.start);
    const end = Math.min(pieceEnd, rows.end);
    if (ordered === null || interleavedHeadDim === null) {
      take(bytes, start - rows.start);
      continue;
    }
    for (let row = start; row < end; row++) {
      const at = (interleavedRow(row, interleavedHeadDim) - piece) * rowBytes;
      ordered.set(bytes.subarray(at, at + rowBytes), (row - start) * rowBytes);
    }
    take(ordered.subarray(0, (end - start) * rowBytes), start - rows.start);
  }
}
