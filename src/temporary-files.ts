/**
 * @file Temporary files: named so that a later run recognises those of a process that was killed, and removes them and
 * nothing else.
 */

import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MARK_PATTERN, ownMark, processState } from "./process-mark.ts";
import { asWriteError, relocateWriteError } from "./system-errors.ts";

/** The name does not contain that of the target, which may already be as long as a name can be. */
const TEMPORARY_NAME = new RegExp(`^\\.cusprun-(${MARK_PATTERN})-[0-9a-f]{8}$`);

/**
 * A file of a process on another machine, or in another container, is removed once it has not changed for this long: a
 * day is more than any program needs between two writes to the same file.
 */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

/** Calls of the system on an open file, whose errors do not say which. */
const WRITE_CALLS: ReadonlySet<string> = new Set(["fsync", "ftruncate", "write", "writev"]);

/** A path in a folder for something temporary of this process. Nothing is there yet. */
export function temporaryPath(folder: string): string {
  return join(folder, `.cusprun-${ownMark()}-${randomBytes(4).toString("hex")}`);
}

/** A file or folder that `temporaryPath` named. */
export interface Temporary {
  readonly path: string;
  /** Whether its process has ended. */
  readonly isAbandoned: boolean;
}

/** The temporary files and folders in a folder; none if it cannot be read. */
export async function temporariesIn(folder: string): Promise<readonly Temporary[]> {
  const found: Temporary[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const mark = TEMPORARY_NAME.exec(name)?.[1];
    const path = join(folder, name);
    if (mark !== undefined) found.push({ path, isAbandoned: await isAbandoned(path, mark) });
  }
  return found;
}

/**
 * Removes the temporary files and folders in a folder whose process has ended. Those that cannot be removed stay: they
 * are in nobody's way.
 */
export async function sweepTemporaries(folder: string): Promise<void> {
  for (const { path, isAbandoned } of await temporariesIn(folder)) {
    if (isAbandoned) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Whether the process of a file or folder with this mark has ended, as far as can be told. */
export async function isAbandoned(path: string, mark: string): Promise<boolean> {
  const state = processState(mark);
  return state === "elsewhere" ? (await ageMs(path)) > ABANDONED_AFTER_MS : state === "ended";
}

/**
 * Time since a file was written, by the clock of its own file system: that of another machine may differ from this
 * one's. 0 if it cannot be told.
 */
export async function ageMs(path: string): Promise<number> {
  const clock = temporaryPath(join(path, ".."));
  try {
    await (await open(clock, "wx")).close();
    return (await lstat(clock)).mtimeMs - (await lstat(path)).mtimeMs;
  } catch {
    return 0;
  } finally {
    await rm(clock, { force: true }).catch(() => undefined);
  }
}

/**
 * Runs `work` with an empty folder in the system's folder for temporary files (`TMPDIR`), which is then removed.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`; what `work` throws.
 */
export async function withTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const root = tmpdir();
  const folder = temporaryPath(root);
  try {
    await sweepTemporaries(root);
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    throw asWriteError(error, root, "TMPDIR");
  }
  try {
    return await work(folder);
  } catch (error) {
    const { path, syscall = "" } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
    const isOurs = path === undefined ? WRITE_CALLS.has(syscall) : path.startsWith(folder);
    throw relocateWriteError(isOurs ? asWriteError(error, folder, "TMPDIR") : error, folder, root, "TMPDIR");
  } finally {
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}
