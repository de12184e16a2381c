/**
 * @file Where a step's result may be written, checked before any work.
 */

import { stat } from "node:fs/promises";
import { CusprunError } from "../errors.ts";

/**
 * Checks that a file may be written.
 * @throws CusprunError `OUTPUT_EXISTS` where there is something and `overwrite` is false, or a folder.
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
