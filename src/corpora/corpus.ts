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
