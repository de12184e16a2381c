/**
 * @file What a stage has done so far is kept in the model's work folder, so that a run that was killed goes on where it
 * was. Design: docs/architecture.md, "Interrupted runs".
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { LayerJournal } from "../model/layer-journal.ts";
import { FolderJournal, readIndex } from "./folder-journal.ts";
import { holdFolder, listFreeFolders, releaseFolder, removeFolder, takeFolder } from "./partial-folders.ts";
import { digestOf } from "./work-records.ts";

/** The stages that keep what they have done so far. */
export type PartialStage = "scoring" | "trials" | "repair" | "measuring-dense" | "measuring-expert";

/** Raised whenever the files or the steps of a stage change. */
const FORMAT = 1;

/**
 * Does the work of a stage, with a journal that goes on where an ended run with the same request was. What is saved is
 * removed when the work has succeeded, and kept when it fails. What ended runs with other requests have left of this
 * stage is removed.
 * @param workFolder of the model, see `openWorkFolder`.
 * @param request plain JSON: everything that the results depend on, except the model's weights, to which the folder
 *   belongs, and the batches.
 * @param checkpoint must not have changed when something is saved.
 * @param work ends when the stage's final result can be found by later runs.
 * @throws CusprunError `MODEL_CHANGED`; what `work` throws.
 */
export async function withPartialResults<T>(
  workFolder: string,
  stage: PartialStage,
  request: unknown,
  checkpoint: Checkpoint,
  work: (journal: LayerJournal) => Promise<T>,
): Promise<T> {
  const key = keyOf(request);
  const folder = holdFolder(workFolder, stage, key);
  const journal = new FolderJournal(folder, key, checkpoint);
  try {
    await takeNewest(workFolder, stage, key, folder);
    const result = await work(journal);
    await journal.close();
    await removeFolder(folder);
    return result;
  } finally {
    await journal.close();
    releaseFolder(folder);
  }
}

/** Removes what a run has saved that was killed between its final result and its end. */
export async function removePartialResults(workFolder: string, stage: PartialStage, request: unknown): Promise<void> {
  const free = await listFreeFolders(workFolder, stage, keyOf(request));
  for (const { path, isOwn, isAbandoned } of free) if (isOwn && isAbandoned) await removeFolder(path);
}

/** Takes over the folder of the same key in which most is done. The others whose processes have ended are removed. */
async function takeNewest(workFolder: string, stage: PartialStage, key: string, folder: string): Promise<void> {
  const free = await listFreeFolders(workFolder, stage, key);
  let best: { readonly path: string; readonly steps: number } | null = null;
  for (const { path } of free.filter(({ isOwn }) => isOwn)) {
    const steps = (await readIndex(path, key))?.steps ?? 0;
    if (steps > (best?.steps ?? 0)) best = { path, steps };
  }
  for (const { path, isAbandoned } of free) if (path !== best?.path && isAbandoned) await removeFolder(path);
  if (best !== null) await takeFolder(best.path, folder);
}

function keyOf(request: unknown): string {
  return digestOf([FORMAT, request]);
}
