/**
 * @file Rows of a tensor in pieces of a few megabytes: how much of it is in memory while it is written.
 */

import type { RowRange } from "../checkpoint/checkpoint.ts";

/** Values that are held at a time, about: 4 MiB in f32. */
export const PIECE_VALUES: number = 2 ** 20;

/**
 * Ranges of rows that hold about `PIECE_VALUES` each, in order.
 * @param group rows that stay together: a range begins at a multiple of it.
 */
export function* rowPieces(rowCount: number, rowLength: number, group = 1): Iterable<RowRange> {
  const rows = Math.max(1, Math.floor(PIECE_VALUES / (rowLength * group))) * group;
  for (let start = 0; start < rowCount; start += rows) yield { start, end: Math.min(start + rows, rowCount) };
}
