/**
 * @file Where a Node package is installed that cusprun does not depend on: the folder that CUSPRUN_RUNTIMES names, the working directory, or
 * beside cusprun itself.
 */

import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** Names the folder in whose `node_modules` runtimes are looked for first. */
export const RUNTIMES_VARIABLE = "CUSPRUN_RUNTIMES";

/** The folder from which a package can be resolved, or null where none of the places has it. */
export function folderWithPackage(name: string): string | null {
  const named = process.env[RUNTIMES_VARIABLE];
  const own = fileURLToPath(new URL("../../", import.meta.url));
  const places = [...(named === undefined || named === "" ? [] : [resolve(named)]), process.cwd(), own];
  return places.find((folder) => canResolve(folder, name)) ?? null;
}

/** What is said where a package is not there. */
export function absenceOfPackage(name: string): { readonly reason: string } {
  return { reason: `not installed: npm install ${name}, here or in the folder that ${RUNTIMES_VARIABLE} names` };
}

function canResolve(folder: string, name: string): boolean {
  try {
    createRequire(join(folder, "package.json")).resolve(name);
    return true;
  } catch {
    return false;
  }
}
