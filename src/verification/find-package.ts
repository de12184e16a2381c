/**
 * @file Locates Node packages that are not dependencies of cusprun: in the folder named by CUSPRUN_RUNTIMES, the
 * working directory, or next to cusprun itself.
 */

import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The environment variable for the folder whose `node_modules` is searched first. */
export const RUNTIMES_VARIABLE = "CUSPRUN_RUNTIMES";

/** The folder from which a package can be resolved, or null if it is not installed. */
export function folderWithPackage(name: string): string | null {
  const named = process.env[RUNTIMES_VARIABLE];
  const own = fileURLToPath(new URL("../../", import.meta.url));
  const places = [...(named === undefined || named === "" ? [] : [resolve(named)]), process.cwd(), own];
  return places.find((folder) => canResolve(folder, name)) ?? null;
}

/** The reason reported if a package is not installed. */
export function absenceOfPackage(name: string): { readonly reason: string } {
  return { reason: `not installed; run npm install ${name} here, or in the folder named by ${RUNTIMES_VARIABLE}` };
}

function canResolve(folder: string, name: string): boolean {
  try {
    createRequire(join(folder, "package.json")).resolve(name);
    return true;
  } catch {
    return false;
  }
}
