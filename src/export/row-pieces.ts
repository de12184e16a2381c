/**
 * @file Splits the rows of a tensor into pieces of a few megabytes, which bounds the memory for writing it.
 */

import type { RowRange } from "../checkpoint/checkpoint.ts";

/** Approximate number of values per piece: 4 MiB in f32. */
export const PIECE_VALUES: number = 2 ** 20;

/**
 * Ranges of rows with about `PIECE_VALUES` values each, in order.
 * @param group number of rows that must stay together: each range starts at a multiple of it.
 */
export function* rowPieces(rowCount: number, rowLength: number, group = 1): Iterable<RowRange> {
  const rows = Math.max(1, Math.floor(PIECE_VALUES / (rowLength * group))) * group;
  for (let start = 0; start < rowCount; start += rows) yield { start, end: Math.min(start + rows, rowCount) };
}
