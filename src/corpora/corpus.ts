/**
 * @file The type of a loaded corpus: the tokenised documents of one dimension, split into calibration documents and
 * held-out documents.
 */

/** The three dimensions of an expert, in the order used everywhere. */
export const DIMENSIONS = ["language", "domain", "task"] as const;

/** A dimension of an expert. */
export type Dimension = (typeof DIMENSIONS)[number];

/** A text as read from a file. */
export interface TextDocument {
  readonly text: string;
  /** Its location, for messages: `file.jsonl:12` or `preset language/de:12`. */
  readonly source: string;
  /** Whether it is a chat as the model sees it, with its special tokens: none is added. */
  readonly isRendered?: boolean;
}

/** What was read of one spec of a corpus. Plain JSON. */
export interface SourceReport {
  /** The preset, path or dataset as the user named it. */
  readonly spec: string;
  /** Documents read, before sampling. */
  readonly documents: number;
  /** Fields that the text was taken from, e.g. `prompt + completion`; one entry per form of file. */
  readonly fields: readonly string[];
  /** Rows without a text: null, or an empty chat. */
  readonly withoutText: number;
  /** Rows that cannot be used and were skipped. */
  readonly unusable: number;
  /** What else the user should know, one sentence each. */
  readonly notes: readonly string[];
}

/** A tokenised document. */
export interface TokenDocument {
  /** Token ids, starting with BOS if the tokenizer adds one; at least `MIN_DOCUMENT_TOKENS` of them. */
  readonly tokens: Int32Array;
  /** UTF-8 length of the text of the tokens after BOS, for bits per byte. */
  readonly byteLength: number;
  readonly source: string;
}

/** The documents of one dimension. */
export interface Corpus {
  readonly dimension: Dimension;
  /** The user's name for it, e.g. `medical` or `medical + notes.jsonl`. */
  readonly label: string;
  /** Documents for scoring and repair. */
  readonly calibration: readonly TokenDocument[];
  /** Documents used only to measure the result. None is among the calibration documents of any dimension. */
  readonly heldOut: readonly TokenDocument[];
}

/** A corpus with the account of what it was read from. */
export interface LoadedCorpus extends Corpus {
  /** One entry per spec. */
  readonly sources: readonly SourceReport[];
}
