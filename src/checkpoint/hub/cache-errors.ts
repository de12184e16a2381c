/**
 * @file The system's errors while a download is written to a cache → coded errors.
 */

import { CusprunError } from "../../errors.ts";

const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
const UNWRITABLE: readonly string[] = ["EACCES", "EROFS", "EPERM", "ENOTDIR", "EEXIST"];

/**
 * Gives the system's write errors a code and a remedy; passes every other error through.
 * @param variable the environment variable that moves this cache.
 */
export function asCacheError(error: unknown, path: string, variable: "HF_HOME" | "CUSPRUN_CACHE"): unknown {
  if (error instanceof CusprunError) return error;
  const systemCode = (error as NodeJS.ErrnoException | null)?.code ?? "";
  if (FULL.includes(systemCode)) {
    return new CusprunError(
      "DISK_FULL",
      {
        where: path,
        found: "no space left while downloading",
        expected: "room for the whole model",
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
        found: `the system's answer ${systemCode}`,
        expected: "a cache that can be written",
        remedy: `Set ${variable} to a folder that can be written`,
      },
      { cause: error },
    );
  }
  return error;
}
