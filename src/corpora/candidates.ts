/**
 * @file The candidate texts of one corpus spec: a preset or a path → distinct texts in a pseudo-random but fixed order.
 *
 * Texts are sorted by a hash of the seed and the text, so the order depends neither on the order in the file nor on
 * other files, and a file of any size is sampled in one pass with bounded memory: only the first texts in that order
 * are kept.
 */

import { createHash } from "node:crypto";
import { basename } from "node:path";

import { exists } from "../folders.ts";
import { CusprunError } from "../errors.ts";
import { pause } from "../progress.ts";
import type { Dimension, SourceReport, TextDocument } from "./corpus.ts";
import { presetNames, presetPath } from "./presets.ts";
import { readDocuments, type ReadOptions } from "./read-documents.ts";
import { wellFormed } from "./tokenizer.ts";

/** Documents read between two yields to the event loop. */
const DOCUMENTS_PER_STEP = 256;

/** A text that may become a document of a corpus. */
export interface Candidate extends TextDocument {
  /** SHA-256 of seed and text: the sort key. */
  readonly rank: string;
}

/** How candidates are chosen. */
export interface CandidateOptions extends ReadOptions {
  readonly seed: number;
  /** Maximum number of candidates. */
  readonly limit: number;
  /** Texts are truncated to this many characters (UTF-16 units). */
  readonly maxCharacters: number;
}

/**
 * Reads the candidates of one spec, in order.
 * @param spec the name of a preset, or a path for `readDocuments`.
 * @throws CusprunError `PRESET_UNKNOWN` for a name that is neither a preset nor a path, and what `readDocuments`
 * throws.
 */
export async function readCandidates(
  dimension: Dimension,
  spec: string,
  options: CandidateOptions,
): Promise<readonly Candidate[]> {
  let kept = new Map<string, Candidate>();
  let count = 0;
  const onReport = (report: SourceReport): void => {
    options.onReport?.(report);
    options.onProgress?.({ stage: `read ${describe(report)}`, done: count, total: null, unit: "documents" });
  };
  for await (const document of await openSpec(dimension, spec, { ...options, onReport })) {
    const cut = wellFormed(cutText(document.text, options.maxCharacters));
    const rank = createHash("sha256").update(`${options.seed}\n${cut}`).digest("hex");
    if (!kept.has(rank)) kept.set(rank, { ...document, text: cut, rank });
    if (kept.size >= 2 * options.limit) kept = firstOf(kept, options.limit);
    count++;
    if (count % DOCUMENTS_PER_STEP === 0) {
      options.onProgress?.({ stage: `reading ${specLabel(spec)}`, done: count, total: null, unit: "documents" });
      await pause(options.signal);
    }
  }
  return [...firstOf(kept, options.limit).values()];
}

/** The label of a spec in messages and reports: the name of a preset, or a path without its folders. */
export function specLabel(spec: string): string {
  return basename(spec);
}

/**
 * Opens the documents of one spec.
 * @param spec the name of a preset, or a path for `readDocuments`.
 * @throws CusprunError `PRESET_UNKNOWN`.
 */
export async function openSpec(dimension: Dimension, spec: string, options: ReadOptions): Promise<AsyncIterable<TextDocument>> {
  const names = presetNames(dimension);
  if (names.includes(spec)) return readPreset(dimension, spec, options);
  const looksLikePath = /[./\\#]/.test(spec) || (await exists(spec));
  if (looksLikePath) return readDocuments(spec, options);
  throw new CusprunError("PRESET_UNKNOWN", {
    where: `--${dimension}`,
    found: `'${spec}', which is neither a preset nor a path`,
    expected: `one of ${names.join(", ")}, a path, or a dataset on the hub as owner/name`,
    remedy: `Pass one of these names, the path of a file or folder, or the dataset with its owner: OWNER/${spec}`,
  });
}

async function* readPreset(dimension: Dimension, name: string, options: ReadOptions): AsyncGenerator<TextDocument> {
  const path = presetPath(dimension, name);
  const onReport = (report: SourceReport): void => options.onReport?.({ ...report, spec: name });
  for await (const { text, source } of readDocuments(path, { ...options, onReport }))
    yield { text, source: source.replace(path, `preset ${dimension}/${name}`) };
}

/** What was read, for the line of progress that stays in a log. */
function describe({ spec, fields, withoutText, unusable }: SourceReport): string {
  const from = fields.every((field) => field === "text") ? [] : [fields.join(", ")];
  const without = withoutText === 0 ? [] : [`${withoutText} rows without a text`];
  const skipped = unusable === 0 ? [] : [`${unusable} unusable rows skipped`];
  const details = [...from, ...without, ...skipped].join("; ");
  return `${specLabel(spec)}${details === "" ? "" : ` (${details})`}`;
}

/** The start of a text, as a copy: a slice would keep the whole text in memory. */
function cutText(text: string, maxCharacters: number): string {
  return text.length <= maxCharacters ? text : Buffer.from(text.slice(0, maxCharacters), "utf16le").toString("utf16le");
}

function firstOf(candidates: ReadonlyMap<string, Candidate>, count: number): Map<string, Candidate> {
  const sorted = [...candidates].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Map(sorted.slice(0, count));
}
