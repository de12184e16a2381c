/**
 * @file A model's scores of evaluation items, by type of item.
 */

import type { GenerationMetric } from "./task-file.ts";

/** A model's score of a multiple choice item. */
export interface ChoiceScore {
  readonly type: "multiple_choice";
  readonly id: string;
  /** Of each choice, in nats. */
  readonly logLikelihoods: readonly number[];
  /** Length of each choice in characters (code points), without the space before it. */
  readonly characters: readonly number[];
  /** UTF-8 bytes of the right choice, without the space before it. */
  readonly answerBytes: number;
  /** Index of the right choice. */
  readonly answer: number;
}

/** A model's score of a text. */
export interface TextScore {
  readonly type: "perplexity";
  readonly id: string;
  /** Of the whole text, in nats. */
  readonly logLikelihood: number;
  /** Predicted tokens. */
  readonly tokens: number;
  /** UTF-8 bytes of the text. */
  readonly bytes: number;
}

/** A model's continuation of a prompt, and its score. */
export interface GenerationScore {
  readonly type: "generation";
  readonly id: string;
  readonly metric: GenerationMetric;
  /** The generated text. */
  readonly output: string;
  /** The part of it that was compared. */
  readonly answer: string;
  /** Agreement with the best reference, 0 to 1. */
  readonly score: number;
}

/** A model's score of an item. */
export type ItemScore = ChoiceScore | TextScore | GenerationScore;
