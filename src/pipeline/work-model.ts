/**
 * @file The model of a work folder, in the folder itself: `model.json`, a record. Its time of writing tells when the
 * folder was last used; its content is the same for every run, as that of all results is.
 */

import { utimes } from "node:fs/promises";
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { objectOf, validatorOf } from "../json-schema.ts";
import type { JobOptions } from "../progress.ts";
import { cusprunVersion } from "./version.ts";
import { readRecord, writeRecord } from "./work-records.ts";

/** Name of the record. */
export const MODEL_FILE = "model.json";

/** The model whose results a work folder holds, and what computed them. */
export interface WorkModel {
  /** A short name or an id on the hub as it was last named, otherwise the absolute path. */
  readonly model: string;
  /** Absolute path of its file or folder. */
  readonly path: string;
  /** Size of its weights. */
  readonly bytes: number;
  /** Version of cusprun. */
  readonly version: string;
  readonly device: string;
}

const TEXT = { type: "string" };
const isWorkModel = validatorOf(objectOf({ model: TEXT, path: TEXT, bytes: { type: "number" }, version: TEXT, device: TEXT }));

/**
 * Records that a work folder is used for a model.
 * @param model as the user named it.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`.
 */
export async function recordWorkModel(
  folder: string,
  model: string,
  checkpoint: Checkpoint,
  { device = "cpu" }: JobOptions,
): Promise<void> {
  const path = resolve(checkpoint.path);
  const record: WorkModel = {
    model: resolve(model) === path ? path : model,
    path,
    bytes: [...checkpoint.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0),
    version: cusprunVersion(),
    device,
  };
  const file = join(folder, MODEL_FILE);
  if (!isDeepStrictEqual(await readWorkModel(folder), record)) return writeRecord(file, record);
  const now = new Date();
  await utimes(file, now, now).catch(() => undefined);
}

/** The model of a work folder; null if it has no intact record. */
export async function readWorkModel(folder: string): Promise<WorkModel | null> {
  const record = await readRecord(join(folder, MODEL_FILE));
  return isWorkModel()(record) ? (record as WorkModel) : null;
}
