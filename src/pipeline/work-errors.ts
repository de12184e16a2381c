/**
 * @file Errors of writing in a work folder, with the remedy that moves it: not --out, which the writers name.
 */

import { relative, resolve } from "node:path";
import { CusprunError } from "../errors.ts";
import { asWriteError, relocateWriteError, type OutputSetting } from "../system-errors.ts";
import { defaultWorkRoot } from "./work-folder.ts";

/** A path in the work folder of a model, below the folder that `--work` names. */
const IN_WORK_FOLDER = /^[0-9a-f]{16}(?:[/\\]|$)/;

/**
 * Runs a step that keeps results in a work folder.
 * @param work as `--work` names it; undefined for the user's cache.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`, with `--work` or `CUSPRUN_CACHE` in the remedy; what `run`
 *   throws.
 */
export async function withWorkErrors<T>(work: string | undefined, run: () => Promise<T>): Promise<T> {
  const root = resolve(work ?? defaultWorkRoot());
  const setting: OutputSetting = work === undefined ? "CUSPRUN_CACHE" : "--work";
  try {
    return await run();
  } catch (error) {
    const path = error instanceof CusprunError ? error.parts.where : (error as NodeJS.ErrnoException | null)?.path;
    if (typeof path !== "string" || !IN_WORK_FOLDER.test(relative(root, path))) throw error;
    throw relocateWriteError(asWriteError(error, path, setting), root, work ?? root, setting);
  }
}
