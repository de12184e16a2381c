/**
 * @file The results that later runs reuse: relevance scores, and perplexities of the dense model and of experts, in a
 * folder per model. Everything here can be deleted at any time; `work-use.ts` tells which folders are in use.
 *
 * A folder belongs to a version of cusprun, a device, and every byte of a model's weights with its config; each result
 * in it, to the documents and settings that it was computed from. The memory limit is not among them: it decides how
 * documents are batched, which changes results only by rounding.
 */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { asReadError, asWriteError } from "../system-errors.ts";
import { cusprunCacheDir } from "../checkpoint/hub/catalog.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Corpus, Dimension, TokenDocument } from "../corpora/corpus.ts";
import type { Perplexity } from "../evaluation/perplexity.ts";
import { exists, makeFolders, removeFolders } from "../folders.ts";
import { isJsonObject } from "../json.ts";
import { objectOf, validatorOf } from "../json-schema.ts";
import type { JobOptions } from "../progress.ts";
import { checkpointFingerprint, documentFingerprint, vocabularyFingerprint } from "../scoring/fingerprint.ts";
import type { MapChange } from "../model/block-energies.ts";
import type { RelevanceKind } from "../model/units.ts";
import type { VocabularyFacts } from "../scoring/token-relevance.ts";
import { cacheLimitBytes } from "./cache-limit.ts";
import { cusprunVersion } from "./version.ts";
import { digestOf, readRecord, readSeal, SEAL_SUFFIX, sealFile, writeRecord } from "./work-records.ts";

/** Names of the files in a work folder. */
const PERPLEXITY_FILES = { dense: "dense-perplexity.json", expert: "expert-perplexity.json" } as const;
const SCORES_PREFIX = "scores-";
const SCORES_SUFFIX = ".safetensors";

/** Hex digits of a digest in a name: 64 bits, so that collisions in a user's cache are practically impossible. */
const NAME_DIGITS = 16;

/** What is scored. */
export interface ScoringRequest {
  readonly kinds: readonly RelevanceKind[];
  readonly mapChange: MapChange;
  /** Null if tokens are not scored. */
  readonly vocabulary: VocabularyFacts | null;
}

/** The contents of a scores file, in its seal, so that a matching file is found without opening any. */
interface ScoresIndex extends Omit<ScoringRequest, "vocabulary"> {
  /** Digest of the facts that tokens were scored from; null if they were not scored. */
  readonly vocabulary: string | null;
  /** Digest of each dimension's calibration documents. */
  readonly dimensions: Readonly<Partial<Record<Dimension, string>>>;
}

const TEXT = { type: "string" };
const NUMBER = { type: "number" };
const isScoresIndex = validatorOf(
  objectOf({
    kinds: { type: "array", items: TEXT },
    mapChange: TEXT,
    vocabulary: { type: "string", nullable: true },
    dimensions: { type: "object", additionalProperties: TEXT },
  }),
);
const isPerplexity = validatorOf(
  objectOf({
    negativeLogLikelihood: NUMBER,
    tokenCount: NUMBER,
    byteCount: NUMBER,
    perplexity: NUMBER,
    bitsPerByte: NUMBER,
  }),
);

/** The default place of work folders: the user's cache. */
export function defaultWorkRoot(): string {
  return join(cusprunCacheDir(), "work");
}

/**
 * The work folder of a model, created if it does not exist.
 * @param root holds the folders of all models, as `--work` names it; by default in the user's cache.
 * @throws CusprunError `OUTPUT_UNWRITABLE`, `DISK_FULL`; the errors of `identifyModel` and, for the user's cache, of
 * `cacheLimitBytes`.
 */
export async function openWorkFolder(checkpoint: Checkpoint, root: string | undefined, job: JobOptions): Promise<string> {
  return (await makeWorkFolder(checkpoint, root, job)).path;
}

/** As `openWorkFolder`. @returns also the folders that were made, outermost first. */
export async function makeWorkFolder(
  checkpoint: Checkpoint,
  root: string | undefined,
  job: JobOptions,
): Promise<{ readonly path: string; readonly made: readonly string[] }> {
  const all = root ?? defaultWorkRoot();
  const make = async (folder: string): Promise<readonly string[]> => {
    try {
      return await makeFolders(folder);
    } catch (error) {
      throw asWriteError(error, folder, root === undefined ? "CUSPRUN_CACHE" : "--work");
    }
  };
  if (root === undefined) cacheLimitBytes();
  // A place that cannot be written is reported before all weights are read.
  const made = await make(all);
  try {
    const key = [cusprunVersion(), job.device ?? "cpu", await checkpointFingerprint(checkpoint, job)];
    const path = join(all, digestOf(key).slice(0, NAME_DIGITS));
    return { path, made: [...made, ...(await make(path))] };
  } catch (error) {
    await removeFolders(made);
    throw error;
  }
}

/** Names of the files in a work folder, sorted. @throws CusprunError `OUTPUT_UNWRITABLE` if it cannot be read. */
export async function listWorkFolder(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (error) {
    throw asReadError(error, "OUTPUT_UNWRITABLE", folder, "a work folder that can be read and written");
  }
}

/**
 * The finished scores files that satisfy a request: the same documents in every requested dimension, and at least the
 * requested kinds.
 * @returns their paths; first the one that `scoresPath` returns, so that a repeated run reads the same file again.
 */
export async function findScores(
  folder: string,
  corpora: readonly Corpus[],
  request: ScoringRequest,
): Promise<readonly string[]> {
  const wanted = indexOf(corpora, request);
  const own = scoresPath(folder, corpora, request);
  const paths = (await listWorkFolder(folder))
    .filter((name) => name.startsWith(SCORES_PREFIX) && name.endsWith(SEAL_SUFFIX))
    .map((name) => join(folder, name.slice(0, -SEAL_SUFFIX.length) + SCORES_SUFFIX));
  const found: string[] = [];
  for (const path of [own, ...paths.filter((candidate) => candidate !== own)]) {
    const index = await readSeal(path);
    const isOurs = isScoresIndex()(index) && holds(index as ScoresIndex, wanted);
    if (isOurs && (await exists(path))) found.push(path);
  }
  return found;
}

/** The path for new scores of these corpora; `recordScores` then makes them findable. */
export function scoresPath(folder: string, corpora: readonly Corpus[], request: ScoringRequest): string {
  return join(folder, `${SCORES_PREFIX}${digestOf(indexOf(corpora, request)).slice(0, NAME_DIGITS)}${SCORES_SUFFIX}`);
}

/** Makes a finished scores file findable. Only then does it count as finished. */
export async function recordScores(path: string, corpora: readonly Corpus[], request: ScoringRequest): Promise<void> {
  await sealFile(path, indexOf(corpora, request));
}

/** A model whose perplexities are kept: the folder's own, or an expert of it by its fingerprint. */
export type MeasuredModel = { readonly kind: "dense" } | { readonly kind: "expert"; readonly fingerprint: string };

/** Perplexity of a model on a corpus' held-out documents, if a run has measured it. */
export async function findPerplexity(folder: string, model: MeasuredModel, corpus: Corpus): Promise<Perplexity | null> {
  const known = await readPerplexities(folder, model);
  return known.get(perplexityKey(model, corpus)) ?? null;
}

/** Stores a model's perplexities on the held-out documents of corpora, except those that are not finite. */
export async function recordPerplexity(
  folder: string,
  model: MeasuredModel,
  corpora: readonly Corpus[],
  measured: Readonly<Partial<Record<Dimension, Perplexity>>>,
): Promise<void> {
  const known = await readPerplexities(folder, model);
  for (const corpus of corpora) {
    const figure = measured[corpus.dimension];
    if (figure !== undefined && isPerplexity()(figure)) known.set(perplexityKey(model, corpus), figure);
  }
  await writeRecord(join(folder, PERPLEXITY_FILES[model.kind]), Object.fromEntries(known));
}

/** Bits per byte depend on the length of the text too. */
function perplexityKey(model: MeasuredModel, { heldOut }: Corpus): string {
  const texts = digestOf(heldOut.map((document) => [documentFingerprint(document), document.byteLength]));
  return model.kind === "dense" ? texts : digestOf([model.fingerprint, texts]);
}

async function readPerplexities(folder: string, { kind }: MeasuredModel): Promise<Map<string, Perplexity>> {
  const known = await readRecord(join(folder, PERPLEXITY_FILES[kind]));
  const entries = isJsonObject(known) ? Object.entries(known) : [];
  return new Map(entries.filter((entry): entry is [string, Perplexity] => isPerplexity()(entry[1])));
}

function indexOf(corpora: readonly Corpus[], request: ScoringRequest): ScoresIndex {
  const dimensions = Object.fromEntries(corpora.map(({ dimension, calibration }) => [dimension, tokensDigestOf(calibration)]));
  const vocabulary = request.vocabulary === null ? null : vocabularyFingerprint(request.vocabulary);
  return { kinds: request.kinds.toSorted(), mapChange: request.mapChange, vocabulary, dimensions };
}

function holds(index: ScoresIndex, wanted: ScoresIndex): boolean {
  const dimensions = Object.entries(wanted.dimensions) as [Dimension, string][];
  return (
    index.mapChange === wanted.mapChange &&
    (wanted.vocabulary === null || index.vocabulary === wanted.vocabulary) &&
    wanted.kinds.every((kind) => index.kinds.includes(kind)) &&
    dimensions.every(([name, digest]) => index.dimensions[name] === digest)
  );
}

/** Relevances depend on tokens alone. */
function tokensDigestOf(documents: readonly TokenDocument[]): string {
  return digestOf(documents.map(documentFingerprint));
}
