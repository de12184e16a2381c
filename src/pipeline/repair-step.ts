/**
 * @file Repair as a step: a cut expert + the documents that chose it → the expert with its output matrices fitted anew. The fitted matrices
 * stay in the work folder, the newest of each model, so that an interrupted or repeated run does not fit them again.
 */

import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { SafetensorsFile } from "../checkpoint/safetensors-read.ts";
import type { Corpus, TokenDocument } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import { documentFingerprint } from "../scoring/fingerprint.ts";
import type { PrunePlan } from "../selection/plan.ts";
import type { Expert } from "../surgery/expert.ts";
import {
  readRepairReport,
  repairExpert,
  REPAIR_FORMAT,
  withRepair,
  type RepairedMatrix,
  type RepairSummary,
} from "../surgery/repair.ts";
import type { ReadyExpert } from "./writing-step.ts";

const FILE_PREFIX = "repair-";

/**
 * Documents that a repair is fitted on at most, the same number from each dimension. Time grows with them; what more would bring is small
 * (2% of perplexity for 256 instead of 96 in the laboratory).
 */
const MAX_REPAIR_DOCUMENTS = 120;

/**
 * Repairs an expert, unless an earlier run has, and hands it on while its fitted matrices are at hand.
 * @param documents that the fit is made on; none that judges the result.
 * @param work what is done with the repaired expert.
 * @throws CusprunError what `repairExpert` and the work throw.
 */
export async function withRepairedExpert<T>(
  checkpoint: Checkpoint,
  cut: Expert,
  plan: PrunePlan,
  documents: readonly TokenDocument[],
  workFolder: string,
  job: JobOptions,
  work: (ready: ReadyExpert) => Promise<T>,
): Promise<T> {
  const path = join(workFolder, `${FILE_PREFIX}${digestOf(plan, documents)}.safetensors`);
  let file = await openOrNull(path);
  if (file === null) {
    await removeOthers(workFolder);
    await repairExpert(checkpoint, cut, plan, documents, path, job);
    file = await SafetensorsFile.open(path);
  }
  try {
    const report = await readRepairReport(file);
    return await work({ plan, expert: withRepair(cut, file, report), repair: summarize(documents.length, report) });
  } finally {
    await file.close();
  }
}

/** A repair is as large as the matrices that it fits, in f32: only the newest of a model is kept. */
async function removeOthers(workFolder: string): Promise<void> {
  const names = await readdir(workFolder);
  for (const name of names.filter((candidate) => candidate.startsWith(FILE_PREFIX)))
    await rm(join(workFolder, name), { force: true });
}

/** The documents that a repair is fitted on: calibration documents of all dimensions in equal shares, each once. */
export function repairDocuments(corpora: readonly Corpus[]): readonly TokenDocument[] {
  const share = Math.ceil(MAX_REPAIR_DOCUMENTS / corpora.length);
  const documents = corpora.flatMap(({ calibration }) => calibration.slice(0, share));
  return [...new Map(documents.map((document) => [documentFingerprint(document), document])).values()];
}

function summarize(documents: number, matrices: readonly RepairedMatrix[]): RepairSummary {
  return { documents, fitted: matrices.filter(({ strength }) => strength !== null).length, tried: matrices.length };
}

/** 64 bits of a SHA-256 over what the fit depends on beside the model, whose folder the file is in. */
function digestOf({ layout, layers }: PrunePlan, documents: readonly TokenDocument[]): string {
  const removed = layers.map(({ cuts }) => Object.entries(cuts).map(([kind, cut]) => [kind, cut.removed]));
  const parts = [REPAIR_FORMAT, layout, removed, documents.map(documentFingerprint)];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}

async function openOrNull(path: string): Promise<SafetensorsFile | null> {
  try {
    return await SafetensorsFile.open(path);
  } catch (error) {
    if (error instanceof CusprunError) return null;
    throw error;
  }
}
