/**
 * @file Scoring as a step: relevances from an earlier run if there are matching ones, otherwise new ones.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { identifyModel } from "../checkpoint/identity.ts";
import type { Corpus } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { scoreCorpora, type ScoreOptions, scoresFingerprint } from "../scoring/score.ts";
import { scoresOf } from "../scoring/scores-view.ts";
import { openScores } from "../scoring/scores-file.ts";
import { removePartialResults, withPartialResults } from "./partial-results.ts";
import { findScores, recordScores, scoresPath, type ScoringRequest } from "./work-folder.ts";
import { isIntact } from "./work-records.ts";

/** Scores that are ready for selection. The caller closes them. */
export interface ReadyScores {
  readonly scores: RelevanceScores;
  readonly path: string;
  /** Whether an earlier run had made them. */
  readonly reused: boolean;
}

/**
 * Opens scores of these corpora, scoring only if no earlier run has; one that was stopped is continued.
 * @param workFolder of this model, see `openWorkFolder`.
 * @throws CusprunError the errors of `scoreCorpora`.
 */
export async function ensureScores(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  request: ScoringRequest,
  workFolder: string,
  job: JobOptions & Pick<ScoreOptions, "keep">,
): Promise<ReadyScores> {
  const known = await knownScores(checkpoint, corpora, request, workFolder, job);
  const fingerprint = await scoresFingerprint(checkpoint, corpora, request);
  if (known !== null) {
    await removePartialResults(workFolder, "scoring", fingerprint);
    return known;
  }
  const path = scoresPath(workFolder, corpora, request);
  await withPartialResults(workFolder, "scoring", fingerprint, checkpoint, async (journal) => {
    await scoreCorpora(checkpoint, corpora, path, { ...job, ...request, journal });
    await recordScores(path, corpora, request);
  });
  return { scores: await openScores(path), path, reused: false };
}

/** Opens the scores of these corpora that an earlier run has made; null if there are none. */
export async function knownScores(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  request: ScoringRequest,
  workFolder: string,
  job: JobOptions,
): Promise<ReadyScores | null> {
  const labels = Object.fromEntries(corpora.map(({ dimension, label }) => [dimension, label]));
  const { weights } = await identifyModel(checkpoint, job);
  for (const found of await findScores(workFolder, corpora, request)) {
    const known = await openOrNull(found, weights);
    if (known !== null) return { scores: scoresOf(known, labels), path: found, reused: true };
  }
  return null;
}

/** Null for a file that was damaged or exchanged since it was written; it is then scored again. */
async function openOrNull(path: string, weights: string): Promise<RelevanceScores | null> {
  if (!(await isIntact(path))) return null;
  try {
    const scores = await openScores(path);
    if (scores.model.weights === weights) return scores;
    await scores.close();
    return null;
  } catch (error) {
    if (error instanceof CusprunError) return null;
    throw error;
  }
}
