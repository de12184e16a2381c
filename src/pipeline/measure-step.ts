/**
 * @file Measuring as a step: perplexity on held-out documents, of the dense model once and of each expert.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkUnchanged } from "../checkpoint/identity.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import type { Corpus, Dimension } from "../corpora/corpus.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { measureHeldOut, type Perplexity } from "../evaluation/perplexity.ts";
import type { JobOptions } from "../progress.ts";
import { openTokenizer } from "./model.ts";
import { findDensePerplexity, recordDensePerplexity } from "./work-folder.ts";

/** Perplexity on each dimension's held-out documents; a dimension without such documents is left out. */
export type PerplexityByDimension = Readonly<Partial<Record<Dimension, Perplexity>>>;

/**
 * Perplexity of the dense model, measured only on corpora for which no earlier run has measured it.
 * @throws CusprunError the errors of `measureHeldOut` and `checkUnchanged`.
 */
export async function measureDense(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  workFolder: string,
  job: JobOptions,
): Promise<PerplexityByDimension> {
  const { figures, missing } = await knownDense(corpora, workFolder);
  if (missing.length === 0) return figures;
  const measured = await measureHeldOut(checkpoint, missing, named("measuring the dense model", job));
  await checkUnchanged(checkpoint);
  await recordDensePerplexity(workFolder, missing, measured);
  return { ...figures, ...measured };
}

/** What earlier runs have measured of the dense model, and the corpora that none has measured. */
export async function knownDense(
  corpora: readonly Corpus[],
  workFolder: string,
): Promise<{ readonly figures: PerplexityByDimension; readonly missing: readonly Corpus[] }> {
  const figures: Partial<Record<Dimension, Perplexity>> = {};
  const missing: Corpus[] = [];
  for (const corpus of withHeldOut(corpora)) {
    const known = await findDensePerplexity(workFolder, corpus);
    if (known === null) missing.push(corpus);
    else figures[corpus.dimension] = known;
  }
  return { figures, missing };
}

/**
 * Perplexity of an expert, read back from its written folder, so that the files that a user gets are measured.
 * @param tokenizer the dense model's, if the expert has another one: held-out documents are then encoded again;
 *   otherwise null.
 */
export async function measureExpert(
  folder: string,
  corpora: readonly Corpus[],
  tokenizer: Tokenizer | null,
  job: JobOptions,
): Promise<PerplexityByDimension> {
  const expert = await openCheckpoint(folder);
  try {
    const measured = withHeldOut(corpora);
    const encoded = tokenizer === null ? measured : encodeAgain(measured, tokenizer, await openTokenizer(expert));
    return await measureHeldOut(expert, encoded, named("measuring the expert", job));
  } finally {
    await expert.close();
  }
}

/** The held-out documents in another tokenizer's tokens; their text, and so their bytes, are the same. */
function encodeAgain(corpora: readonly Corpus[], from: Tokenizer, to: Tokenizer): Corpus[] {
  return corpora.map((corpus) => ({
    ...corpus,
    heldOut: corpus.heldOut.map((document) => {
      const tokens = to.encode(from.decode(document.tokens.subarray(from.prefix.length)), document.source);
      return { ...document, tokens };
    }),
  }));
}

function withHeldOut(corpora: readonly Corpus[]): Corpus[] {
  return corpora.filter(({ heldOut }) => heldOut.length > 0);
}

/** The same job, with another name of its stage in progress events. */
function named(stage: string, job: JobOptions): JobOptions {
  const { onProgress } = job;
  return onProgress === undefined ? job : { ...job, onProgress: (event) => onProgress({ ...event, stage }) };
}
