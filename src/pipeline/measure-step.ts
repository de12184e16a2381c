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
import { documentFingerprint, checkpointFingerprint } from "../scoring/fingerprint.ts";
import { defined } from "./defined.ts";
import { openTokenizer } from "./model.ts";
import { removePartialResults, withPartialResults } from "./partial-results.ts";
import { findPerplexity, recordPerplexity, type MeasuredModel } from "./work-folder.ts";

/** Perplexity on each dimension's held-out documents; a dimension without such documents is left out. */
export type PerplexityByDimension = Readonly<Partial<Record<Dimension, Perplexity>>>;

/**
 * Perplexity of the dense model, measured only on corpora for which no earlier run has measured it.
 * @throws CusprunError the errors of `measureHeldOut` and `checkUnchanged`.
 */
export function measureDense(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  workFolder: string,
  job: JobOptions,
): Promise<PerplexityByDimension> {
  return measureMissing(checkpoint, { kind: "dense" }, withHeldOut(corpora), workFolder, job);
}

/**
 * Perplexity of an expert, read back from its written folder, so that the files that a user gets are measured.
 * @param tokenizer the dense model's, if the expert has another one: held-out documents are then encoded again;
 *   otherwise null.
 * @param workFolder of the dense model, in which the figures are kept for the bytes of this expert; null to keep none.
 * @throws CusprunError the errors of `openCheckpoint` and `measureHeldOut`.
 */
export async function measureExpert(
  folder: string,
  corpora: readonly Corpus[],
  tokenizer: Tokenizer | null,
  workFolder: string | null,
  job: JobOptions,
): Promise<PerplexityByDimension> {
  const expert = await openCheckpoint(folder);
  try {
    const measured = withHeldOut(corpora);
    const encoded = tokenizer === null ? measured : encodeAgain(measured, tokenizer, await openTokenizer(expert));
    if (workFolder === null) return await measureHeldOut(expert, encoded, named("measuring the expert", job));
    const fingerprint = await checkpointFingerprint(expert, defined({ signal: job.signal }));
    return await measureMissing(expert, { kind: "expert", fingerprint }, encoded, workFolder, job);
  } finally {
    await expert.close();
  }
}

/** Measures a model on the corpora for which no earlier run has. A measurement that was stopped is continued. */
async function measureMissing(
  checkpoint: Checkpoint,
  model: MeasuredModel,
  corpora: readonly Corpus[],
  workFolder: string,
  job: JobOptions,
): Promise<PerplexityByDimension> {
  const { figures, missing } = await knownFigures(model, corpora, workFolder);
  const requestOf = (some: readonly Corpus[]): unknown => [model, some.map(({ heldOut }) => heldOut.map(documentFingerprint))];
  const stage = `measuring-${model.kind}` as const;
  if (missing.length === 0) {
    await removePartialResults(workFolder, stage, requestOf(corpora));
    return figures;
  }
  return withPartialResults(workFolder, stage, requestOf(missing), checkpoint, async (journal) => {
    const stageName = model.kind === "dense" ? "measuring the dense model" : "measuring the expert";
    const measured = await measureHeldOut(checkpoint, missing, { ...named(stageName, job), journal });
    await checkUnchanged(checkpoint);
    await recordPerplexity(workFolder, model, missing, measured);
    return { ...figures, ...measured };
  });
}

/** What earlier runs have measured of the dense model, and the corpora that none has measured. */
export function knownDense(corpora: readonly Corpus[], workFolder: string): Promise<KnownFigures> {
  return knownFigures({ kind: "dense" }, withHeldOut(corpora), workFolder);
}

interface KnownFigures {
  readonly figures: PerplexityByDimension;
  readonly missing: readonly Corpus[];
}

async function knownFigures(model: MeasuredModel, corpora: readonly Corpus[], workFolder: string): Promise<KnownFigures> {
  const figures: Partial<Record<Dimension, Perplexity>> = {};
  const missing: Corpus[] = [];
  for (const corpus of corpora) {
    const known = await findPerplexity(workFolder, model, corpus);
    if (known === null) missing.push(corpus);
    else figures[corpus.dimension] = known;
  }
  return { figures, missing };
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
