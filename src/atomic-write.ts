/**
 * @file Writes one file completely or not at all: under a temporary name next to it, through to the disk, and renamed
 * once it is complete. A failure, an abort, a full disk or a kill leaves the file as it was.
 */

import { rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { makeFolders, removeFolders, syncFolder, syncTree } from "./folders.ts";
import { asWriteError, type OutputSetting } from "./system-errors.ts";
import { sweepTemporaries, temporaryPath } from "./temporary-files.ts";

/**
 * Writes one file via a temporary file, and replaces an existing one. What killed processes left in the folder is
 * removed first.
 * @param write receives the temporary path and must create the file there.
 * @param setting what moves the file elsewhere, for messages.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`; what `write` throws.
 */
export async function writeFileAtomically(
  path: string,
  write: (temporaryPath: string) => Promise<void>,
  setting: OutputSetting = "--out",
): Promise<void> {
  const target = resolve(path);
  const folder = dirname(target);
  const temporary = temporaryPath(folder);
  let made: readonly string[] = [];
  try {
    made = await makeFolders(folder);
    await sweepTemporaries(folder);
    await write(temporary);
    await syncTree(temporary);
    await rename(temporary, target);
    await syncFolder(folder);
  } catch (error) {
    // If it cannot be removed, the first error is still the one to report, and a later run removes it.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    await removeFolders(made);
    throw asWriteError(error, target, setting);
  }
}
