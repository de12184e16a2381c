/**
 * @file System errors while writing to a cache or a work folder → coded errors.
 */

import { CusprunError } from "../../errors.ts";

const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
const UNWRITABLE: readonly string[] = ["EACCES", "EROFS", "EPERM", "ENOTDIR", "EEXIST"];

/**
 * Converts the system's write errors to coded errors with a remedy; returns any other error unchanged.
 * @param setting what moves the location: an environment variable, or `--work` for a given work folder.
 */
export function asCacheError(error: unknown, path: string, setting: "HF_HOME" | "CUSPRUN_CACHE" | "--work"): unknown {
  if (error instanceof CusprunError) return error;
  const isWork = setting === "--work";
  const systemCode = (error as NodeJS.ErrnoException | null)?.code ?? "";
  if (FULL.includes(systemCode)) {
    return new CusprunError(
      "DISK_FULL",
      {
        where: path,
        found: `no space left on the device${isWork ? "" : " while downloading"}`,
        expected: `enough space for ${isWork ? "scores and fits" : "the whole model"}`,
        remedy: isWork
          ? "Free space, or choose another --work"
          : `Free space, or set ${setting} to a folder on another disk, and run again`,
      },
      { cause: error },
    );
  }
  if (UNWRITABLE.includes(systemCode)) {
    return new CusprunError(
      "OUTPUT_UNWRITABLE",
      {
        where: path,
        found: `the system error ${systemCode}`,
        expected: `a writable ${isWork ? "work folder" : "cache"}`,
        remedy: isWork ? "Choose another --work" : `Set ${setting} to a writable folder`,
      },
      { cause: error },
    );
  }
  return error;
}
