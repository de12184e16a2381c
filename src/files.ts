/**
 * @file Atomic writes: files and folders are written under a temporary name next to their target and renamed once they
 * are complete. A failure, an abort or a full disk leaves the target unchanged.
 */

import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CusprunError } from "./errors.ts";

/** Temporary names are `.{name}.cusprun-{pid}`. Later runs remove those whose process no longer exists. */
const TEMPORARY_MARK = ".cusprun-";

/**
 * Writes one file via a temporary file.
 * @param write receives the temporary path and must create the file there.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`.
 */
export async function writeFileAtomically(path: string, write: (temporaryPath: string) => Promise<void>): Promise<void> {
  const target = resolve(path);
  await replaceAtomically(target, async (temporary) => {
    await write(temporary);
    await rename(temporary, target);
  });
}

/**
 * Writes a folder via a temporary folder.
 * @param overwrite replace an existing folder; otherwise the folder must be absent or empty.
 * @param write receives the temporary folder, which exists and is empty.
 * @throws CusprunError `OUTPUT_EXISTS`, `DISK_FULL`, `OUTPUT_UNWRITABLE`.
 */
export async function writeFolderAtomically(
  path: string,
  overwrite: boolean,
  write: (temporaryFolder: string) => Promise<void>,
): Promise<void> {
  const target = resolve(path);
  await checkOutputFolder(target, overwrite);
  await replaceAtomically(target, async (temporary) => {
    await mkdir(temporary);
    await write(temporary);
    await rm(target, { recursive: true, force: true });
    await rename(temporary, target);
  });
}

/**
 * Checks, before any work, that a folder may be written.
 * @throws CusprunError `OUTPUT_EXISTS` if it is a file, or is not empty and `overwrite` is false.
 */
export async function checkOutputFolder(path: string, overwrite: boolean): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null) return;
  if (!found.isDirectory()) {
    throw new CusprunError("OUTPUT_EXISTS", {
      where: path,
      found: "a file",
      expected: "a folder, or nothing",
      remedy: "Choose another --out",
    });
  }
  const entries = await readdir(path);
  if (entries.length > 0 && !overwrite) {
    throw new CusprunError("OUTPUT_EXISTS", {
      where: path,
      found: `a folder with ${entries.length} ${entries.length === 1 ? "entry" : "entries"}`,
      expected: "an absent or empty folder",
      remedy: "Choose another --out, or pass --overwrite to replace it",
    });
  }
}

async function replaceAtomically(target: string, work: (temporary: string) => Promise<void>): Promise<void> {
  const parent = dirname(target);
  const prefix = `.${basename(target)}${TEMPORARY_MARK}`;
  const temporary = join(parent, `${prefix}${process.pid}`);
  try {
    await mkdir(parent, { recursive: true });
    await removeAbandoned(parent, prefix);
    await work(temporary);
  } catch (error) {
    // If the temporary file cannot be removed, the original error is still the one to report; a later run removes the
    // file.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw asOutputError(target, error);
  }
}

/** Removes temporary files of this target whose process is no longer running. */
async function removeAbandoned(parent: string, prefix: string): Promise<void> {
  for (const entry of await readdir(parent)) {
    if (!entry.startsWith(prefix)) continue;
    const pid = Number(entry.slice(prefix.length));
    if (!isRunning(pid) || pid === process.pid) await rm(join(parent, entry), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Converts the system's write errors to coded errors with a remedy; returns any other error unchanged. */
function asOutputError(target: string, error: unknown): unknown {
  const systemCode = (error as NodeJS.ErrnoException | null)?.code;
  if (systemCode === "ENOSPC" || systemCode === "EDQUOT") {
    return new CusprunError(
      "DISK_FULL",
      {
        where: target,
        found: "no space left on the device while writing",
        expected: "enough space for the whole output",
        remedy: "Free space, or choose another --out; nothing was left behind",
      },
      { cause: error },
    );
  }
  if (
    systemCode === "EACCES" ||
    systemCode === "EROFS" ||
    systemCode === "EPERM" ||
    systemCode === "ENOTDIR" ||
    systemCode === "EEXIST"
  ) {
    return new CusprunError(
      "OUTPUT_UNWRITABLE",
      {
        where: target,
        found: `the system error ${systemCode}`,
        expected: "a writable location",
        remedy: "Choose another --out",
      },
      { cause: error },
    );
  }
  return error;
}
