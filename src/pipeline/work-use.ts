/**
 * @file A work folder in use: a hidden temporary file in it shows that a process works there, so that no other one
 * removes it from the cache. Afterwards, the cache is held to its limit.
 *
 * Who opens a folder first writes that file and then looks whether the cache is being pruned; who prunes first shows
 * that and then looks whether a folder is in use. So one of the two always sees the other.
 */

import { rm, utimes, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { makeFolders } from "../folders.ts";
import type { JobOptions } from "../progress.ts";
import { systemCodeOf } from "../system-errors.ts";
import { sweepTemporaries, temporariesIn, temporaryPath } from "../temporary-files.ts";
import { cacheLimitBytes } from "./cache-limit.ts";
import { pruneCache } from "./cache-prune.ts";
import { withWorkErrors } from "./work-errors.ts";
import { defaultWorkRoot } from "./work-folder.ts";
import { recordWorkModel } from "./work-model.ts";

/** How often a process shows that it still works there, for those on other machines: they give up after a day. */
const SIGN_OF_LIFE_MS = 60 * 60 * 1000;

/** How long a run waits for another process that prunes the cache, and in what steps. Removing files takes less. */
const MAX_WAIT_MS = 30_000;
const WAIT_STEP_MS = 50;

/**
 * Runs a step that keeps results in a work folder, and records that use. If the folder is in the user's cache and the
 * step has succeeded, the folders that were not used for longest are then removed, down to the limit.
 * @param model as the user named it.
 * @param work as `--work` names it; undefined for the user's cache.
 * @throws CusprunError as `withWorkErrors`.
 */
export async function withWorkFolder<T>(
  folder: string,
  model: string,
  checkpoint: Checkpoint,
  work: string | undefined,
  job: JobOptions,
  run: () => Promise<T>,
): Promise<T> {
  return withWorkErrors(work, async () => {
    const sign = await showUse(folder, resolve(work ?? defaultWorkRoot()));
    const signs = setInterval(() => void utimes(sign, new Date(), new Date()).catch(() => undefined), SIGN_OF_LIFE_MS).unref();
    try {
      await recordWorkModel(folder, model, checkpoint, job);
      const result = await run();
      // The result stands, whether or not there is now too much in the cache.
      if (work === undefined) await pruneCache({ limitBytes: cacheLimitBytes(), keepsUnusable: true }).catch(() => undefined);
      return result;
    } finally {
      clearInterval(signs);
      await rm(sign, { force: true }).catch(() => undefined);
    }
  });
}

/** Writes the file that shows the use, once nobody prunes the cache, and removes those of killed runs. */
async function showUse(folder: string, root: string): Promise<string> {
  for (let waitedMs = 0; ; waitedMs += WAIT_STEP_MS) {
    const isLastTry = waitedMs >= MAX_WAIT_MS;
    const sign = temporaryPath(folder);
    try {
      await makeFolders(folder);
      await sweepTemporaries(folder);
      await writeFile(sign, "", { flag: "wx" });
      if (isLastTry || !(await isBeingPruned(root))) return sign;
      await rm(sign, { force: true });
    } catch (error) {
      // The folder was removed at this moment.
      if (isLastTry || systemCodeOf(error) !== "ENOENT") throw error;
    }
    await setTimeout(WAIT_STEP_MS);
  }
}

/** Only the user's cache is pruned; below another root, temporary files have other reasons. */
async function isBeingPruned(root: string): Promise<boolean> {
  if (root !== resolve(defaultWorkRoot())) return false;
  return (await temporariesIn(root)).some(({ isAbandoned }) => !isAbandoned);
}
