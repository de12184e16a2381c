/**
 * @file A generation item → what is asked of the model and when it has said enough, and the score of what it said.
 */

import type { Tokenizer } from "../corpora/tokenizer.ts";
import { defaultExtract, extractAnswer, scoreAnswer } from "./answer-metrics.ts";
import type { Prompt } from "./generation.ts";
import type { GenerationScore } from "./item-scores.ts";
import type { Extract, GenerationItem } from "./task-file.ts";

/** Tokens that an answer may have where its item does not say: enough for the longest of known benchmarks, worked out sums among them. */
const MAX_TOKENS: Readonly<Record<Extract, number>> = {
  first_word: 8,
  first_phrase: 32,
  first_line: 64,
  last_number: 256,
  all: 128,
};

/** What a prompt's first line begins with, such as `Question:`: where it comes again at a line's beginning the model has begun an item of its own. */
const LABEL = /^[^\s:：]{1,20}[:：]/u;

/** An item as the model is asked it. */
export interface GenerationRequest {
  readonly prompt: Prompt;
  readonly score: (output: string) => GenerationScore;
}

/** Makes the request of an item. */
export function askGeneration(
  { id, prompt, references, metric, ...item }: GenerationItem,
  tokenizer: Tokenizer,
): GenerationRequest {
  const { extract = defaultExtract(metric, references) } = item;
  const label = LABEL.exec(prompt)?.[0];
  // Behind a space at the end a model would have to go on in the middle of a word.
  const tokens = tokenizer.encode(prompt.trimEnd());
  const ownPart = (output: string): string => (label === undefined ? output : output.split(`\n${label}`, 1)[0]!);
  return {
    prompt: {
      tokens,
      maxTokens: item.maxTokens ?? MAX_TOKENS[extract],
      isDone: (text) => isSaid(text, extract) || ownPart(text) !== text,
    },
    score: (output) => {
      const answer = extractAnswer(ownPart(output), extract);
      return { type: "generation", id, metric, output, answer, score: scoreAnswer(metric, answer, references) };
    },
  };
}

/** Whether what is extracted cannot change any more. */
function isSaid(text: string, extract: Extract): boolean {
  const said = text.trimStart();
  switch (extract) {
    case "first_word":
      return /^\S+\s/.test(said);
    case "first_phrase":
    case "first_line":
      return said.includes("\n");
    case "last_number":
    case "all":
      return false;
    default:
      throw extract satisfies never;
  }
}
