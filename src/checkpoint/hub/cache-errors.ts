/**
 * @file System errors while writing to a cache → coded errors.
 */

import { CusprunError } from "../../errors.ts";

const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
const UNWRITABLE: readonly string[] = ["EACCES", "EROFS", "EPERM", "ENOTDIR", "EEXIST"];

/**
 * Converts the system's write errors to coded errors with a remedy; returns any other error unchanged.
 * @param variable the environment variable for the location of this cache.
 */
export function asCacheError(error: unknown, path: string, variable: "HF_HOME" | "CUSPRUN_CACHE"): unknown {
  if (error instanceof CusprunError) return error;
  const systemCode = (error as NodeJS.ErrnoException | null)?.code ?? "";
  if (FULL.includes(systemCode)) {
    return new CusprunError(
      "DISK_FULL",
      {
        where: path,
        found: "no space left on the device while downloading",
        expected: "enough space for the whole model",
        remedy: `Free space, or set ${variable} to a folder on another disk, and run again`,
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
        expected: "a writable cache",
        remedy: `Set ${variable} to a writable folder`,
      },
      { cause: error },
    );
  }
  return error;
}
