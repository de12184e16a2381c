/**
 * @file Repair as a step: a cut expert + the calibration documents → the expert with its matrices fitted again. The
 * fitted matrices are kept in the work folder, the newest of each model, so that an interrupted or repeated run does
 * not fit them once more.
 * Source: docs/architecture.md, "Repair".
 */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { SafetensorsFile } from "../checkpoint/safetensors/read.ts";
import type { Corpus, TokenDocument } from "../corpora/corpus.ts";
import { loadGeneralDocuments } from "../corpora/general.ts";
import { DEFAULT_MAX_TOKENS, type CorpusOptions } from "../corpora/load.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import { documentFingerprint, uniqueDocuments } from "../scoring/fingerprint.ts";
import type { PlannedCut, PrunePlan } from "../selection/plan.ts";
import type { Expert } from "../surgery/expert.ts";
import { holdBack, reorder, type RepairDocuments } from "../surgery/repair-documents.ts";
import {
  readRepairReport,
  repairExpert,
  REPAIR_FORMAT,
  withRepair,
  type RepairOptions as FitOptions,
  type RepairedMatrix,
  type RepairSummary,
} from "../surgery/repair.ts";
import { removePartialResults, withPartialResults } from "./partial-results.ts";
import { listWorkFolder } from "./work-folder.ts";
import { digestOf, isIntact, readSeal, sealFile } from "./work-records.ts";
import type { ReadyExpert } from "./writing-step.ts";

/** The files that this step writes, and no others: the folder is in the user's cache, or where `--work` says. */
const REPAIR_FILE = /^repair-[0-9a-f]{16}\.(safetensors|index\.json)$/;

/** How the documents of a repair are chosen. */
export interface RepairOptions {
  /** Share of general text among the documents, in [0, 1]. Default `DEFAULT_GENERAL_SHARE`. */
  readonly generalShare?: number;
}

/** Hex digits of a key in a file's name; the seal holds all of it. */
const KEY_DIGITS = 16;

/** Share of general text by default. */
export const DEFAULT_GENERAL_SHARE = 0;

/**
 * Repairs an expert, unless an earlier run has, and passes it to `work` while the file with its fitted matrices is
 * open. A repair that was stopped is continued. A file that was damaged since is written again.
 * @param documents on which the matrices are fitted; no held-out documents.
 * @throws CusprunError the errors of `repairExpert` and of `work`.
 */
export async function withRepairedExpert<T>(
  checkpoint: Checkpoint,
  cut: Expert,
  plan: PrunePlan,
  documents: RepairDocuments,
  workFolder: string,
  job: FitOptions,
  work: (ready: ReadyExpert) => Promise<T>,
): Promise<T> {
  const { key, path } = repairFile(plan, documents, workFolder);
  let file = await openOrNull(path, key);
  if (file === null) {
    await removeOthers(workFolder);
    file = await withPartialResults(workFolder, "repair", key, checkpoint, async (journal) => {
      await repairExpert(checkpoint, cut, plan, documents, path, { ...job, journal });
      await job.kept?.close();
      const made = await SafetensorsFile.open(path);
      await sealFile(path, key);
      return made;
    });
  } else await removePartialResults(workFolder, "repair", key);
  try {
    const report = await readRepairReport(file);
    return await work({ plan, expert: withRepair(cut, file, report), repair: summarize(documents.documents.length, report) });
  } finally {
    await file.close();
  }
}

/** Whether an earlier run has made this repair. */
export async function isRepaired(plan: PlannedCut, documents: RepairDocuments, workFolder: string): Promise<boolean> {
  const { key, path } = repairFile(plan, documents, workFolder);
  const file = await openOrNull(path, key);
  await file?.close();
  return file !== null;
}

function repairFile(
  plan: PlannedCut,
  documents: RepairDocuments,
  workFolder: string,
): { readonly key: string; readonly path: string } {
  const key = keyOf(plan, documents);
  return { key, path: join(workFolder, `repair-${key.slice(0, KEY_DIGITS)}.safetensors`) };
}

/** A repair file is as large as the fitted matrices in f32, so only the newest of a model is kept. */
async function removeOthers(workFolder: string): Promise<void> {
  for (const name of await listWorkFolder(workFolder)) {
    // One that another run is reading may stay.
    if (REPAIR_FILE.test(name)) await rm(join(workFolder, name)).catch(() => undefined);
  }
}

/**
 * The documents on which a repair is fitted: as many as there are calibration documents, taken in turn from all
 * dimensions, a share of them replaced by general text, each document once. Every fifth is held back; then they are
 * brought into the order in which they are scored.
 * @throws CusprunError `USAGE` for an invalid share.
 */
export async function gatherRepairDocuments(
  corpora: readonly Corpus[],
  tokenizer: Tokenizer,
  { generalShare = DEFAULT_GENERAL_SHARE }: RepairOptions,
  corpusOptions: CorpusOptions,
  job: JobOptions,
): Promise<RepairDocuments> {
  checkGeneralShare(generalShare);
  const { maxTokens = DEFAULT_MAX_TOKENS, seed = 0 } = corpusOptions;
  const total = corpora.reduce((sum, { calibration }) => sum + calibration.length, 0);
  const own = interleave(
    corpora.map(({ calibration }) => calibration.slice(0, Math.ceil((1 - generalShare) * calibration.length))),
  );
  const general = await loadGeneralDocuments(tokenizer, total - own.length, maxTokens, seed, job);
  const heldOutDocuments = new Set(corpora.flatMap(({ heldOut }) => heldOut.map(documentFingerprint)));
  const documents = spread(
    own,
    general.filter((document) => !heldOutDocuments.has(documentFingerprint(document))),
  );
  const scored = scoringOrder(corpora);
  return reorder(holdBack(uniqueDocuments(documents)), (document) => scored.get(documentFingerprint(document)) ?? scored.size);
}

/** The place of each document in scoring: repair batches them alike, and so can take the states that scoring kept. */
function scoringOrder(corpora: readonly Corpus[]): ReadonlyMap<string, number> {
  const documents = uniqueDocuments(corpora.flatMap(({ calibration }) => calibration));
  return new Map(documents.map((document, index) => [documentFingerprint(document), index]));
}

/**
 * Checks a share of general text.
 * @throws CusprunError `USAGE` for an invalid share.
 */
export function checkGeneralShare(share: number): void {
  if (share >= 0 && share <= 1) return;
  throw new CusprunError("USAGE", {
    where: "general share",
    found: String(share),
    expected: "a share from 0 to 1",
    remedy: "Choose e.g. 0.25",
  });
}

/**
 * One of each list in turn: every fifth document is held back to choose ridge strengths, and these must not all be of
 * one dimension.
 */
function interleave(lists: readonly (readonly TokenDocument[])[]): TokenDocument[] {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat();
}

/** Distributes the documents of the second list evenly among those of the first. */
function spread(first: readonly TokenDocument[], second: readonly TokenDocument[]): TokenDocument[] {
  const place = (index: number, list: readonly TokenDocument[]): number => (index + 0.5) / list.length;
  return [
    ...first.map((document, index) => ({ document, at: place(index, first) })),
    ...second.map((document, index) => ({ document, at: place(index, second) })),
  ]
    .toSorted((a, b) => a.at - b.at)
    .map(({ document }) => document);
}

function summarize(documents: number, matrices: readonly RepairedMatrix[]): RepairSummary {
  return { documents, fitted: matrices.filter(({ strength }) => strength !== null).length, tried: matrices.length };
}

/** SHA-256 of everything that the fit depends on, except the model, whose folder holds the file. */
function keyOf({ layout, layers }: PlannedCut, { documents, heldBack }: RepairDocuments): string {
  const removed = layers.map(({ cuts }) => Object.entries(cuts).map(([kind, cut]) => [kind, cut.removed]));
  return digestOf([REPAIR_FORMAT, layout, removed, documents.map(documentFingerprint), heldBack]);
}

async function openOrNull(path: string, key: string): Promise<SafetensorsFile | null> {
  if ((await readSeal(path)) !== key || !(await isIntact(path))) return null;
  try {
    return await SafetensorsFile.open(path);
  } catch (error) {
    if (error instanceof CusprunError) return null;
    throw error;
  }
}
