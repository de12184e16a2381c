/**
 * @file Notices that an open file is written to: its size and times, as the file system keeps them.
 */

import type { FileHandle } from "node:fs/promises";

/**
 * Size, modification time and change time of an open file, in nanoseconds. The change time cannot be set by a program,
 * so an edit is noticed although its modification time was restored (`touch -r`).
 */
export async function stampOf(handle: FileHandle): Promise<string> {
  const { size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true });
  return `${size} ${mtimeNs} ${ctimeNs}`;
}
