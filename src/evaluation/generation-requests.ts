/**
 * @file A generation item → the prompt, the condition that ends its continuation, and the continuation's score.
 */

import type { Tokenizer } from "../corpora/tokenizer.ts";
import { defaultExtract, extractAnswer, scoreAnswer } from "./answer-metrics.ts";
import type { Prompt } from "./generation.ts";
import type { GenerationScore } from "./item-scores.ts";
import type { Extract, GenerationItem } from "./task-file.ts";

/**
 * Most tokens of an answer by default: enough for the longest answers of known benchmarks, including step-by-step
 * calculations.
 */
const MAX_TOKENS: Readonly<Record<Extract, number>> = {
  first_word: 8,
  first_phrase: 32,
  first_line: 64,
  last_number: 256,
  all: 128,
};

/**
 * The label at the beginning of a prompt's first line, such as `Question:`. If it occurs again at the beginning of a
 * line, the model has begun an item of its own.
 */
const LABEL = /^[^\s:：]{1,20}[:：]/u;

/** The request of an item, and how the model's output becomes its score. */
export interface GenerationRequest {
  readonly prompt: Prompt;
  readonly score: (output: string) => GenerationScore;
}

/** Makes the request of an item. */
export function askGeneration(
  { id, source, prompt, references, metric, ...item }: GenerationItem,
  tokenizer: Tokenizer,
): GenerationRequest {
  const { extract = defaultExtract(metric, references) } = item;
  const label = LABEL.exec(prompt)?.[0];
  // After a final space a model would have to continue in the middle of a word.
  const tokens = tokenizer.encode(prompt.trimEnd(), source);
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

/** Whether the extracted part cannot change any more. */
function isSaid(text: string, extract: Extract): boolean {
  const answer = text.trimStart();
  switch (extract) {
    case "first_word":
      return /^\S+\s/.test(answer);
    case "first_phrase":
    case "first_line":
      return answer.includes("\n");
    case "last_number":
    case "all":
      return false;
    default:
      throw extract satisfies never;
  }
}
