/**
 * @file Token frequencies of the corpora: all documents, not only the scored ones, read in one pass with bounded
 * memory.
 */

import { CusprunError } from "../errors.ts";
import { pause } from "../progress.ts";
import { openSpec, specLabel } from "./candidates.ts";
import type { ReadingJob } from "./corpus-stamps.ts";
import { type Corpus, type Dimension, DIMENSIONS } from "./corpus.ts";
import { ScriptCounter } from "./kept-tokens.ts";
import type { CorpusSpecs } from "./load.ts";
import { presetNames } from "./presets.ts";
import { MIN_DOCUMENT_TOKENS } from "./token-document.ts";
import { type Tokenizer, wellFormed } from "./tokenizer.ts";
import { wordFrequencies } from "./word-frequencies.ts";

/** Maximum number of tokens counted per spec: further tokens would not change any relevant share. */
const MAX_TOKENS_PER_SPEC = 20_000_000;

/** Documents read between two yields to the event loop. */
const DOCUMENTS_PER_STEP = 64;

/** Scripts are counted in this many characters at the start of each spec. */
const MAX_SCRIPT_CHARACTERS = 2_000_000;

/**
 * Forms in which a word appears in a text, with their frequencies: inside a sentence, at its beginning, after a
 * bracket. Word lists contain one form per word.
 */
const WORD_FORMS: readonly { readonly form: (word: string) => string; readonly share: number }[] = [
  { form: (word) => ` ${word}`, share: 0.65 },
  { form: (word) => ` ${capitalise(word)}`, share: 0.15 },
  { form: (word) => word, share: 0.1 },
  { form: capitalise, share: 0.05 },
  { form: (word) => ` ${word.toLowerCase()}`, share: 0.05 },
];

/** Shares of the tokens in the texts of one dimension, each [V] and summing to 1. V = rows of the embedding. */
export interface DimensionCounts {
  /**
   * In each half of the dimension's documents (`halfOf`), so that a choice made on one half can be tested on the other.
   */
  readonly halves: readonly [Float64Array, Float64Array];
  /** In a frequency list of the language's words; null if there is none. */
  readonly words: Float64Array | null;
}

/**
 * The half of a corpus that a document belongs to. Depends on its first tokens only, so it is the same wherever the
 * document appears.
 */
export function halfOf(tokens: Int32Array): 0 | 1 {
  let hash = 2_166_136_261;
  for (const token of tokens.subarray(0, MIN_DOCUMENT_TOKENS)) hash = Math.imul(hash ^ token, 16_777_619);
  return ((hash ^ (hash >>> 15)) & 1) as 0 | 1;
}

/** Shares of the tokens in the corpora of each dimension. */
export interface TokenCounts {
  readonly counts: ReadonlyMap<Dimension, DimensionCounts>;
  /** Scripts of the language dimension, or of all dimensions if there is no language dimension. */
  readonly scripts: readonly string[];
}

/** Options of `countTokens`. */
export interface CountOptions extends ReadingJob {
  /** V: rows of the embedding. */
  readonly vocabSize: number;
  /** Their held-out documents are not counted. */
  readonly corpora: readonly Corpus[];
  /** Additional text for the first dimension: paths for `readDocuments`. */
  readonly moreText?: readonly string[];
}

/**
 * Counts the tokens of all given dimensions.
 * @throws CusprunError what `readDocuments` throws; `CORPUS_EMPTY` if nothing is left to count.
 */
export async function countTokens(specs: CorpusSpecs, tokenizer: Tokenizer, options: CountOptions): Promise<TokenCounts> {
  const dimensions = DIMENSIONS.filter((dimension) => (specs[dimension] ?? []).length > 0);
  const isHeldOut = heldOutTest(options.corpora);
  const counts = new Map<Dimension, DimensionCounts>();
  const scripts = new ScriptCounter();
  for (const dimension of dimensions) {
    const own = specs[dimension] ?? [];
    const paths = dimension === dimensions[0] ? [...own, ...(options.moreText ?? [])] : own;
    const ofSpecs: (readonly [Float64Array, Float64Array])[] = [];
    for (const spec of paths) {
      ofSpecs.push(await countSpec(dimension, spec, tokenizer, isHeldOut, dimension === dimensions[0] ? scripts : null, options));
    }
    const words = dimension === "language" ? countWords(own, tokenizer, options.vocabSize) : null;
    const halves = [meanOf(ofSpecs.map(([first]) => first)), meanOf(ofSpecs.map(([, second]) => second))] as const;
    counts.set(dimension, { halves, words });
  }
  return { counts, scripts: scripts.scripts() };
}

async function countSpec(
  dimension: Dimension,
  spec: string,
  tokenizer: Tokenizer,
  isHeldOut: (tokens: Int32Array) => boolean,
  scripts: ScriptCounter | null,
  { vocabSize, onProgress, signal, stamps }: CountOptions,
): Promise<readonly [Float64Array, Float64Array]> {
  const { chatTemplate = null } = tokenizer;
  const counts = [new Float64Array(vocabSize), new Float64Array(vocabSize)] as const;
  const totals: [number, number] = [0, 0];
  let [documents, characters] = [0, 0];
  const reading = { chatTemplate, ...(onProgress && { onProgress }), ...(signal && { signal }), ...(stamps && { stamps }) };
  for await (const { text, source, isRendered } of await openSpec(dimension, spec, reading)) {
    const tokens = tokenizer.encode(wellFormed(text), source, isRendered);
    documents++;
    if (documents % DOCUMENTS_PER_STEP === 0) {
      onProgress?.({ stage: `counting tokens of ${specLabel(spec)}`, done: documents, total: null, unit: "documents" });
      await pause(signal);
    }
    if (isHeldOut(tokens)) continue;
    const half = halfOf(tokens);
    for (let index = tokenizer.prefix.length; index < tokens.length; index++) counts[half][tokens[index]!]! += 1;
    totals[half] += tokens.length - tokenizer.prefix.length;
    if (characters < MAX_SCRIPT_CHARACTERS) scripts?.add(text);
    characters += text.length;
    if (totals[0] + totals[1] >= MAX_TOKENS_PER_SPEC) break;
  }
  // A single document fills only one half, which is then used for both.
  const full = totals[0] >= totals[1] ? 0 : 1;
  const shares = ([0, 1] as const).map((half) => {
    const filled = totals[half] > 0 ? half : full;
    return counts[filled].map((count) => count / totals[filled]);
  });
  if (totals[full] > 0) return shares as [Float64Array, Float64Array];
  throw new CusprunError("CORPUS_EMPTY", {
    where: `--${dimension} ${specLabel(spec)}`,
    found: "no text except held-out documents",
    expected: "text for counting tokens",
    remedy: "Provide more text, or hold out fewer documents",
  });
}

/** Tests whether tokens start with those of a held-out document, which may have been truncated. */
function heldOutTest(corpora: readonly Corpus[]): (tokens: Int32Array) => boolean {
  const keyOf = (tokens: Int32Array): string => tokens.subarray(0, MIN_DOCUMENT_TOKENS).join();
  const byStart = new Map<string, Int32Array[]>();
  for (const { tokens } of corpora.flatMap(({ heldOut }) => heldOut)) {
    byStart.set(keyOf(tokens), [...(byStart.get(keyOf(tokens)) ?? []), tokens]);
  }
  return (tokens) =>
    (byStart.get(keyOf(tokens)) ?? []).some((heldOut) => heldOut.every((token, index) => token === tokens[index]));
}

/** Token shares in the word lists of the languages named by presets; null if there is no list. */
function countWords(specs: readonly string[], tokenizer: Tokenizer, vocabSize: number): Float64Array | null {
  const languages = specs.filter((spec) => presetNames("language").includes(spec));
  const lists = languages.map(wordFrequencies).filter((list) => list.length > 0);
  if (lists.length === 0) return null;
  return meanOf(
    lists.map((list) => {
      const counts = new Float64Array(vocabSize);
      let total = 0;
      for (const { word, count } of list) {
        for (const { form, share } of WORD_FORMS) {
          const tokens = tokenizer.encode(form(word)).subarray(tokenizer.prefix.length);
          for (const token of tokens) counts[token]! += share * count;
          total += share * count * tokens.length;
        }
      }
      return counts.map((count) => count / total);
    }),
  );
}

/** Mean of [V] arrays. */
export function meanOf(sources: readonly Float64Array[]): Float64Array {
  const mean = new Float64Array(sources[0]?.length ?? 0);
  for (const source of sources) for (let index = 0; index < mean.length; index++) mean[index]! += source[index]! / sources.length;
  return mean;
}

function capitalise(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
