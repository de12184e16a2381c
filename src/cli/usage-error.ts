/**
 * @file Errors in the command line or the YAML file, as `CusprunError`s.
 */

import { CusprunError } from "../errors.ts";

/** Creates a `USAGE` error (exit code 2). */
export function usageError(where: string, found: string, expected: string, remedy: string): CusprunError {
  return new CusprunError("USAGE", { where, found, expected, remedy });
}
