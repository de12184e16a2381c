/**
 * @file Errors of the file system → coded errors with the path and a remedy. Every call that may meet a missing, locked
 * or broken file, a full disk or a read-only folder passes what it catches through one of these two functions.
 */

import { CusprunError, type ErrorCode } from "./errors.ts";

/** What each answer of the system means, in words; any other code is quoted. */
const MEANINGS: Readonly<Record<string, string>> = {
  EACCES: "no permission",
  EBUSY: "a file or folder that is in use, or a mount point",
  EEXIST: "something that already exists",
  EDQUOT: "no space left in the user's quota",
  EFBIG: "a file larger than the file system allows",
  EIO: "a disk that answers with an error",
  EISDIR: "a folder",
  ELOOP: "links that lead in a circle",
  EMFILE: "too many open files",
  ENAMETOOLONG: "a name longer than the file system allows",
  ENODEV: "a device that does not exist",
  ENOENT: "no such file or folder",
  ENOSPC: "no space left on the device",
  ENOTDIR: "a file where a folder is expected",
  ENOTEMPTY: "a folder that is not empty",
  EPERM: "no permission",
  EROFS: "a read-only file system",
  ESTALE: "a network file that is no longer there",
  ETXTBSY: "a file that is in use",
  EXDEV: "a folder on another disk",
};

/** Codes of a disk, or of a quota, that is full. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);

/** What moves an output elsewhere: an option, an environment variable, or null if nothing does. */
export type OutputSetting = "--out" | "--work" | "HF_HOME" | "CUSPRUN_CACHE" | "TMPDIR";

/** The code of a system error such as `ENOENT`, or null for any other error. */
export function systemCodeOf(error: unknown): string | null {
  if (!(error instanceof Error) || error instanceof CusprunError) return null;
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) && "syscall" in error ? code : null;
}

/** A system error in words with its code, such as `no permission (EACCES)`. */
export function describeSystemCode(code: string): string {
  const meaning = MEANINGS[code];
  return meaning === undefined ? `the system error ${code}` : `${meaning} (${code})`;
}

/**
 * Converts a system error while reading to an error with `code`; returns any other error unchanged.
 * @param path the file or folder that was read.
 * @param expected for example "a readable file".
 */
export function asReadError(error: unknown, code: ErrorCode, path: string, expected = "a readable file"): unknown {
  const systemCode = systemCodeOf(error);
  if (systemCode === null) return error;
  const remedy = systemCode === "ENOENT" ? "Check the path" : "Check the path and its permissions";
  return new CusprunError(code, { where: path, found: describeSystemCode(systemCode), expected, remedy }, { cause: error });
}

/**
 * Converts a system error while writing to `DISK_FULL` or `OUTPUT_UNWRITABLE`; returns any other error unchanged.
 * @param path the file or folder that was written.
 * @param setting what moves it elsewhere.
 */
export function asWriteError(error: unknown, path: string, setting: OutputSetting): unknown {
  const systemCode = systemCodeOf(error);
  if (systemCode === null) return error;
  const elsewhere = setting.startsWith("--") ? `choose another ${setting}` : `set ${setting} to a folder elsewhere`;
  const full = FULL.has(systemCode);
  return new CusprunError(
    full ? "DISK_FULL" : "OUTPUT_UNWRITABLE",
    {
      where: path,
      found: describeSystemCode(systemCode),
      expected: full ? "enough space for all that is written there" : "a writable place",
      remedy: full ? `Free space, or ${elsewhere}; then run again` : `${elsewhere[0]?.toUpperCase()}${elsewhere.slice(1)}`,
    },
    { cause: error },
  );
}

/**
 * Words an error of `asWriteError` again, if it is about a path in `folder`, in terms of a place that the user knows;
 * returns any other error unchanged.
 * @param folder a temporary folder or file, or a folder that a setting of its own moves.
 * @param shown the same place in the user's words.
 */
export function relocateWriteError(error: unknown, folder: string, shown: string, setting: OutputSetting): unknown {
  if (!(error instanceof CusprunError) || systemCodeOf(error.cause) === null) return error;
  if (error.code !== "DISK_FULL" && error.code !== "OUTPUT_UNWRITABLE") return error;
  const { where } = error.parts;
  return where.startsWith(folder) ? asWriteError(error.cause, shown + where.slice(folder.length), setting) : error;
}
