/**
 * @file Corpus specs → corpora: read, tokenised, and split into calibration documents and held-out documents.
 *
 * Held-out documents are the first in a corpus's pseudo-random order, so they do not depend on other dimensions;
 * calibration documents are the next ones that no dimension holds out.
 */

import { CusprunError } from "../errors.ts";
import { type JobOptions, pause } from "../progress.ts";
import { type Candidate, readCandidates, specLabel } from "./candidates.ts";
import type { ReadingJob } from "./corpus-stamps.ts";
import { type Dimension, DIMENSIONS, type LoadedCorpus, type SourceReport, type TokenDocument } from "./corpus.ts";
import { type Tokenizer } from "./tokenizer.ts";
import { MIN_DOCUMENT_TOKENS, toTokenDocument } from "./token-document.ts";

/** Calibration documents per dimension by default. */
export const DEFAULT_DOCUMENTS = 96;

/** Held-out documents per dimension by default. */
export const DEFAULT_HELD_OUT_DOCUMENTS = 24;

/** Maximum number of tokens per document by default. */
export const DEFAULT_MAX_TOKENS = 512;

/** Candidates read per requested document, since short documents and duplicates are skipped. */
const CANDIDATES_PER_DOCUMENT = 16;

/**
 * Characters read per requested token. Only long runs of spaces have tokens of this length; no text averages near it.
 */
const CHARACTERS_PER_TOKEN = 64;

/** Documents tokenised between two yields to the event loop. */
const DOCUMENTS_PER_STEP = 8;

/** Number and length of the documents to load. */
export interface CorpusOptions {
  /** Calibration documents per dimension; default `DEFAULT_DOCUMENTS`. */
  readonly documents?: number;
  /** Held-out documents per dimension; default `DEFAULT_HELD_OUT_DOCUMENTS`. 0: none. */
  readonly heldOutDocuments?: number;
  /** Longer documents are truncated to this many tokens; default `DEFAULT_MAX_TOKENS`. See `fitToPositions`. */
  readonly maxTokens?: number;
  /** Seed for sampling documents; default 0. */
  readonly seed?: number;
}

/** The specs of each dimension: names of presets, and paths for `readDocuments`. */
export type CorpusSpecs = Readonly<Partial<Record<Dimension, readonly string[]>>>;

/** A corpus before its calibration documents are chosen. */
interface Draft {
  readonly dimension: Dimension;
  readonly label: string;
  readonly candidates: readonly Candidate[];
  readonly heldOut: ReadonlySet<string>;
  readonly calibrationCount: number;
  readonly sources: readonly SourceReport[];
}

/**
 * Loads the corpora of all given dimensions, in the order of `DIMENSIONS`. The same specs, options and files yield the
 * same corpora. Several specs of one dimension are mixed in equal shares until one runs out of documents. Duplicate
 * texts are used once, and a text held out in one dimension is not a calibration document in any. A corpus smaller than
 * requested is split in the requested proportion, with at least one document in each part.
 * @throws CusprunError `CORPUS_TOO_SHORT` if a corpus has too few documents of at least `MIN_DOCUMENT_TOKENS` tokens;
 * `PRESET_UNKNOWN`; `USAGE` for options out of range; and what `readDocuments` throws.
 */
export async function loadCorpora(
  specs: CorpusSpecs,
  tokenizer: Tokenizer,
  options: CorpusOptions & ReadingJob = {},
): Promise<readonly LoadedCorpus[]> {
  const settings = checkOptions(options);
  const tokenise = makeTokeniser(tokenizer, settings.maxTokens, options);
  const drafts: Draft[] = [];
  for (const dimension of DIMENSIONS) {
    const given = specs[dimension] ?? [];
    if (given.length > 0) drafts.push(await draftCorpus(dimension, given, tokenizer, tokenise, settings, options));
  }
  const heldOutAnywhere = new Set(drafts.flatMap((draft) => [...draft.heldOut]));
  const corpora: LoadedCorpus[] = [];
  for (const { dimension, label, candidates, heldOut, calibrationCount, sources } of drafts) {
    const calibration = await takeUsable(
      candidates.filter(({ text }) => !heldOutAnywhere.has(text)),
      calibrationCount,
      tokenise,
    );
    if (calibration.length === 0)
      throw tooShort(dimension, label, "only documents that are held out, here or in another dimension");
    const heldOutUsable = await takeUsable(
      candidates.filter(({ text }) => heldOut.has(text)),
      heldOut.size,
      tokenise,
    );
    corpora.push({
      dimension,
      label,
      calibration: calibration.map((usable) => usable.document),
      heldOut: heldOutUsable.map((usable) => usable.document),
      sources,
    });
  }
  return corpora;
}

/**
 * Options whose documents are no longer than a model's positions.
 * @param positions number of positions of the model.
 * @throws CusprunError `USAGE` if longer documents were requested.
 */
export function fitToPositions(options: CorpusOptions | undefined, positions: number): CorpusOptions {
  const { maxTokens } = options ?? {};
  if (maxTokens === undefined || maxTokens <= positions)
    return { ...options, maxTokens: maxTokens ?? Math.min(DEFAULT_MAX_TOKENS, positions) };
  throw new CusprunError("USAGE", {
    where: "--max-tokens",
    found: `${maxTokens} tokens`,
    expected: `at most ${positions}, the model's number of positions`,
    remedy: `Write --max-tokens ${positions}, or less`,
  });
}

type Settings = Required<CorpusOptions>;

function checkOptions(options: CorpusOptions): Settings {
  const settings = {
    documents: options.documents ?? DEFAULT_DOCUMENTS,
    heldOutDocuments: options.heldOutDocuments ?? DEFAULT_HELD_OUT_DOCUMENTS,
    maxTokens: options.maxTokens ?? DEFAULT_MAX_TOKENS,
    seed: options.seed ?? 0,
  };
  const least = { documents: 1, heldOutDocuments: 0, maxTokens: MIN_DOCUMENT_TOKENS, seed: 0 };
  for (const key of Object.keys(least) as (keyof Settings)[]) {
    if (Number.isSafeInteger(settings[key]) && settings[key] >= least[key]) continue;
    throw new CusprunError("USAGE", {
      where: `corpus option ${key}`,
      found: String(settings[key]),
      expected: `an integer of at least ${least[key]}`,
      remedy: "Choose a valid number",
    });
  }
  return settings;
}

type Tokenise = (candidate: Candidate) => Promise<TokenDocument | null>;

/** Tokenises every text once: a text in several corpora becomes the same document object. */
function makeTokeniser(tokenizer: Tokenizer, maxTokens: number, { onProgress, signal }: JobOptions): Tokenise {
  const known = new Map<string, TokenDocument | null>();
  return async (candidate) => {
    const earlier = known.get(candidate.text);
    if (earlier !== undefined) return earlier;
    const document = toTokenDocument(candidate, tokenizer, maxTokens);
    known.set(candidate.text, document);
    if (known.size % DOCUMENTS_PER_STEP === 0) {
      onProgress?.({ stage: "tokenising", done: known.size, total: null, unit: "documents" });
      await pause(signal);
    }
    return document;
  };
}

async function draftCorpus(
  dimension: Dimension,
  specs: readonly string[],
  { chatTemplate = null }: Tokenizer,
  tokenise: Tokenise,
  settings: Settings,
  job: ReadingJob,
): Promise<Draft> {
  const label = specs.map(specLabel).join(" + ");
  const wanted = settings.documents + settings.heldOutDocuments;
  const lists: (readonly Candidate[])[] = [];
  const sources: SourceReport[] = [];
  for (const spec of specs) {
    lists.push(
      await readCandidates(dimension, spec, {
        ...job,
        chatTemplate,
        onReport: (report) => sources.push(report),
        seed: settings.seed,
        limit: wanted * CANDIDATES_PER_DOCUMENT,
        maxCharacters: settings.maxTokens * CHARACTERS_PER_TOKEN,
      }),
    );
  }
  const candidates = interleave(lists);
  const usable = await takeUsable(candidates, wanted, tokenise);
  const needed = settings.heldOutDocuments === 0 ? 1 : 2;
  if (usable.length < needed) {
    throw tooShort(
      dimension,
      label,
      `${usable.length} of ${candidates.length} documents with at least ${MIN_DOCUMENT_TOKENS} tokens`,
      needed,
    );
  }
  const heldOutCount = shareHeldOut(usable.length, settings);
  return {
    dimension,
    label,
    candidates,
    heldOut: new Set(usable.slice(0, heldOutCount).map(({ text }) => text)),
    calibrationCount: usable.length - heldOutCount,
    sources,
  };
}

/** Number of held-out documents among `available`, in the requested proportion, with at least one in each part. */
function shareHeldOut(available: number, { documents, heldOutDocuments }: Settings): number {
  if (heldOutDocuments === 0) return 0;
  const share = Math.round((available * heldOutDocuments) / (documents + heldOutDocuments));
  return Math.min(Math.max(share, 1), available - 1);
}

/** Takes from the lists in turn, skipping duplicates and exhausted lists. */
function interleave(lists: readonly (readonly Candidate[])[]): Candidate[] {
  const byText = new Map<string, Candidate>();
  const longest = Math.max(...lists.map((list) => list.length));
  for (let index = 0; index < longest; index++) {
    for (const list of lists) {
      const candidate = list[index];
      if (candidate !== undefined && !byText.has(candidate.text)) byText.set(candidate.text, candidate);
    }
  }
  return [...byText.values()];
}

interface Usable {
  readonly text: string;
  readonly document: TokenDocument;
}

/** The first `count` candidates that are long enough. */
async function takeUsable(candidates: readonly Candidate[], count: number, tokenise: Tokenise): Promise<Usable[]> {
  const usable: Usable[] = [];
  for (const candidate of candidates) {
    if (usable.length === count) break;
    const document = await tokenise(candidate);
    if (document !== null) usable.push({ text: candidate.text, document });
  }
  return usable;
}

function tooShort(dimension: Dimension, label: string, found: string, needed = 1): CusprunError {
  return new CusprunError("CORPUS_TOO_SHORT", {
    where: `--${dimension} ${label}`,
    found,
    expected: `at least ${needed}`,
    remedy: "Provide more text, or longer documents",
  });
}
