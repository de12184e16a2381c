/**
 * @file What a corpus is once it was read: documents of one dimension, tokenised, and split into those that choose what
 * is pruned and those that are held back to judge the result.
 */

/** The three dimensions of an expert, in the order in which they are named everywhere. */
export const DIMENSIONS = ["language", "domain", "task"] as const;

/** A dimension of an expert. */
export type Dimension = (typeof DIMENSIONS)[number];

/** A text as it was read. */
export interface TextDocument {
  readonly text: string;
  /** Where it stands, for messages: `file.jsonl:12` or `preset language/de:12`. */
  readonly source: string;
}

/** A document ready for the model. */
export interface TokenDocument {
  /** Token ids, beginning with BOS where the tokenizer says so; at least `MIN_DOCUMENT_TOKENS` of them. */
  readonly tokens: Int32Array;
  /** UTF-8 bytes of the text that the tokens after BOS stand for, for bits per byte. */
  readonly byteLength: number;
  readonly source: string;
}

/** The documents of one dimension. */
export interface Corpus {
  readonly dimension: Dimension;
  /** What the user called it, e.g. `medical` or `medical + notes.jsonl`. */
  readonly label: string;
  /** Documents that choose what is pruned. */
  readonly calibration: readonly TokenDocument[];
  /** Documents that choose nothing and judge the result. None is also in any calibration part. */
  readonly heldOut: readonly TokenDocument[];
}
