/**
 * @file Notices that a file is written to or replaced: its number, size and times, as the file system keeps them.
 */

import type { BigIntStats } from "node:fs";
import { type FileHandle, stat } from "node:fs/promises";
import { systemCodeOf } from "./system-errors.ts";

/**
 * Number, size, modification time and change time of an open file, in nanoseconds. The change time cannot be set by a
 * program, so an edit is noticed although its modification time was restored (`touch -r`).
 */
export async function stampOf(handle: FileHandle): Promise<string> {
  return stampIn(await handle.stat({ bigint: true }));
}

/** The stamp of what is at a path, following links; null if nothing can be found there. */
export async function stampAt(path: string): Promise<string | null> {
  try {
    return stampIn(await stat(path, { bigint: true }));
  } catch (error) {
    if (systemCodeOf(error) === null) throw error;
    return null;
  }
}

function stampIn({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}
