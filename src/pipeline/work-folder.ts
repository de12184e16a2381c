/**
 * @file The results that later runs reuse: relevance scores and the dense model's perplexities, in a folder per model.
 * Everything here can be deleted at any time.
 */

import { createHash } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { asWriteError } from "../system-errors.ts";
import { cusprunCacheDir } from "../checkpoint/hub/catalog.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Corpus, Dimension, TokenDocument } from "../corpora/corpus.ts";
import type { Perplexity } from "../evaluation/perplexity.ts";
import { writeFileAtomically } from "../atomic-write.ts";
import { makeFolders } from "../folders.ts";
import { checkpointFingerprint, documentFingerprint, vocabularyFingerprint } from "../scoring/fingerprint.ts";
import type { MapChange } from "../model/block-energies.ts";
import type { RelevanceKind } from "../model/units.ts";
import type { VocabularyFacts } from "../scoring/token-relevance.ts";

/** Names of the files in a work folder. */
const PERPLEXITY_FILE = "dense-perplexity.json";
const SCORES_SUFFIX = ".safetensors";
const INDEX_SUFFIX = ".index.json";

/** Hex digits of a digest in a name: 64 bits, so that collisions in a user's cache are practically impossible. */
const NAME_DIGITS = 16;

/** What is scored. */
export interface ScoringRequest {
  readonly kinds: readonly RelevanceKind[];
  readonly mapChange: MapChange;
  /** Null if tokens are not scored. */
  readonly vocabulary: VocabularyFacts | null;
}

/** The contents of a scores file, stored next to it, so that a matching file is found without opening any. */
interface ScoresIndex extends Omit<ScoringRequest, "vocabulary"> {
  /** Digest of the facts that tokens were scored from; null if they were not scored. */
  readonly vocabulary: string | null;
  /** Digest of each dimension's calibration documents. */
  readonly dimensions: Readonly<Partial<Record<Dimension, string>>>;
}

/** The default place of work folders: the user's cache. */
export function defaultWorkRoot(): string {
  return join(cusprunCacheDir(), "work");
}

/**
 * The work folder of a model, created if it does not exist.
 * @param root holds the folders of all models, as `--work` names it; by default in the user's cache.
 * @throws CusprunError `OUTPUT_UNWRITABLE`, `DISK_FULL`.
 */
export async function openWorkFolder(checkpoint: Checkpoint, root: string | undefined): Promise<string> {
  const folder = join(root ?? defaultWorkRoot(), (await checkpointFingerprint(checkpoint)).slice(0, NAME_DIGITS));
  try {
    await makeFolders(folder);
  } catch (error) {
    throw asWriteError(error, folder, root === undefined ? "CUSPRUN_CACHE" : "--work");
  }
  return folder;
}

/**
 * A finished scores file that satisfies a request: the same documents in every requested dimension, and at least the
 * requested kinds.
 * @returns its path, or null.
 */
export async function findScores(folder: string, corpora: readonly Corpus[], request: ScoringRequest): Promise<string | null> {
  const wanted = indexOf(corpora, request);
  for (const name of (await readdir(folder)).toSorted()) {
    if (!name.endsWith(INDEX_SUFFIX)) continue;
    const path = join(folder, name.slice(0, -INDEX_SUFFIX.length) + SCORES_SUFFIX);
    const index = await readJson<ScoresIndex>(join(folder, name));
    if (index !== null && holds(index, wanted) && (await stat(path).catch(() => null)) !== null) return path;
  }
  return null;
}

/** The path for new scores of these corpora; `recordScores` then makes them findable. */
export function scoresPath(folder: string, corpora: readonly Corpus[], request: ScoringRequest): string {
  const digest = createHash("sha256")
    .update(JSON.stringify(indexOf(corpora, request)))
    .digest("hex");
  return join(folder, `scores-${digest.slice(0, NAME_DIGITS)}${SCORES_SUFFIX}`);
}

/** Makes a finished scores file findable. Only then does it count as finished. */
export async function recordScores(path: string, corpora: readonly Corpus[], request: ScoringRequest): Promise<void> {
  const index = path.slice(0, -SCORES_SUFFIX.length) + INDEX_SUFFIX;
  await writeFileAtomically(index, (temporary) => writeFile(temporary, JSON.stringify(indexOf(corpora, request))));
}

/** Perplexity of the dense model on a corpus' held-out documents, if a run has measured it. */
export async function findDensePerplexity(folder: string, corpus: Corpus): Promise<Perplexity | null> {
  const known = await readJson<Record<string, Perplexity>>(join(folder, PERPLEXITY_FILE));
  return known?.[digestOf(corpus.heldOut)] ?? null;
}

/** Stores the dense model's perplexities on the held-out documents of corpora. */
export async function recordDensePerplexity(
  folder: string,
  corpora: readonly Corpus[],
  measured: Readonly<Partial<Record<Dimension, Perplexity>>>,
): Promise<void> {
  const path = join(folder, PERPLEXITY_FILE);
  const known = (await readJson<Record<string, Perplexity>>(path)) ?? {};
  for (const corpus of corpora) {
    const figure = measured[corpus.dimension];
    if (figure !== undefined) known[digestOf(corpus.heldOut)] = figure;
  }
  await writeFileAtomically(path, (temporary) => writeFile(temporary, JSON.stringify(known)));
}

function indexOf(corpora: readonly Corpus[], request: ScoringRequest): ScoresIndex {
  const dimensions = Object.fromEntries(corpora.map(({ dimension, calibration }) => [dimension, digestOf(calibration)]));
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

function digestOf(documents: readonly TokenDocument[]): string {
  return createHash("sha256").update(documents.map(documentFingerprint).join()).digest("hex");
}

/** A parsed file; null if it does not exist or cannot be read, for example because an older version wrote it. */
async function readJson<T>(path: string): Promise<T | null> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as T;
  } catch {
    return null;
  }
}
