/**
 * @file A folder to which files are added one by one, reserved for one process while it does so.
 */

import { join } from "node:path";
import { makeFolders, removeFolders } from "./folders.ts";
import { OutputStage, stageName, sweepFolder } from "./output-stage.ts";
import { realPlace } from "./protected-paths.ts";
import { asWriteError } from "./system-errors.ts";

/**
 * Reserves a folder while `work` runs. It is made if it is missing, and removed again if nothing is in it at the end.
 * @throws CusprunError before `work` begins: `OUTPUT_BUSY`, `OUTPUT_UNWRITABLE`, `DISK_FULL`.
 */
export async function withSharedFolder<T>(path: string, work: () => Promise<T>): Promise<T> {
  let made: readonly string[] = [];
  let stage: OutputStage | null = null;
  try {
    const folder = await realPlace(path);
    await sweepFolder(folder);
    made = await makeFolders(folder);
    stage = await OutputStage.open(join(folder, stageName(".")), path);
  } catch (error) {
    await removeFolders(made);
    throw asWriteError(error, path, "--out");
  }
  try {
    return await work();
  } finally {
    await stage.close();
    await removeFolders(made);
  }
}
