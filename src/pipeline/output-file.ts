/**
 * @file The check, before any work, that a step may write its output file.
 */

import { stat } from "node:fs/promises";
import { CusprunError } from "../errors.ts";

/**
 * Checks that a file may be written.
 * @throws CusprunError `OUTPUT_EXISTS` for a folder, and for a file if `overwrite` is false.
 */
export async function checkOutputFile(path: string, overwrite: boolean): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null || (found.isFile() && overwrite)) return;
  throw new CusprunError("OUTPUT_EXISTS", {
    where: path,
    found: found.isFile() ? "a file" : "a folder",
    expected: "nothing",
    remedy: found.isFile() ? "Choose another --out, or pass --overwrite to replace it" : "Choose another --out",
  });
}
