/**
 * @file Scoring as a step: relevances from an earlier run if there are matching ones, otherwise new ones.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Corpus } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { scoreCorpora } from "../scoring/score.ts";
import { scoresOf } from "../scoring/scores-view.ts";
import { openScores } from "../scoring/scores-file.ts";
import { findScores, recordScores, scoresPath, type ScoringRequest } from "./work-folder.ts";

/** Scores that are ready for selection. The caller closes them. */
export interface ReadyScores {
  readonly scores: RelevanceScores;
  readonly path: string;
  /** Whether an earlier run had made them. */
  readonly reused: boolean;
}

/**
 * Opens scores of these corpora, scoring only if no earlier run has.
 * @param workFolder of this model, see `openWorkFolder`.
 * @throws CusprunError the errors of `scoreCorpora`.
 */
export async function ensureScores(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  request: ScoringRequest,
  workFolder: string,
  job: JobOptions,
): Promise<ReadyScores> {
  const found = await findScores(workFolder, corpora, request);
  const known = found === null ? null : await openOrNull(found);
  const dimensions = corpora.map(({ dimension }) => dimension);
  if (found !== null && known !== null) return { scores: scoresOf(known, dimensions), path: found, reused: true };
  const path = scoresPath(workFolder, corpora, request);
  await scoreCorpora(checkpoint, corpora, path, { ...job, ...request });
  await recordScores(path, corpora, request);
  return { scores: await openScores(path), path, reused: false };
}

/** Null for a file that an older version wrote, or that was damaged since. */
async function openOrNull(path: string): Promise<RelevanceScores | null> {
  try {
    return await openScores(path);
  } catch (error) {
    if (error instanceof CusprunError) return null;
    throw error;
  }
}
