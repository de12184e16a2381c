/**
 * @file A generated text + its references → how well they agree: exact match, token F1 and ROUGE-L.
 * Sources: Rajpurkar et al., SQuAD, arXiv 1606.05250 (normalisation, exact match, F1); Lewis et al., MLQA, arXiv
 * 1910.07475 (characters as tokens in scripts without spaces); Lin, ROUGE, ACL 2004, and its implementation
 * `rouge-score` (ROUGE-L, F of precision and recall, no stemming).
 */

import type { Extract, GenerationMetric } from "./task-file.ts";

/** A number as texts write it: thousands separated by commas, decimals after a full stop. */
const NUMBER = /-?\d[\d,]*(?:\.\d+)?/g;

/** Scripts that write no spaces between words: each character is a token. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/gu;

const ENGLISH_ARTICLES: ReadonlySet<string> = new Set(["a", "an", "the"]);

/** The part that is compared by default: the last number if all references are numbers, otherwise by the metric. */
export function defaultExtract(metric: GenerationMetric, references: readonly string[]): Extract {
  switch (metric) {
    case "exact_match":
      return references.every((reference) => numberOf(reference) !== null) ? "last_number" : "first_phrase";
    case "f1":
      return "first_line";
    case "rougeL":
      return "all";
    default:
      throw metric satisfies never;
  }
}

/**
 * The part of an output that is compared, without surrounding space. A phrase ends at the end of a line, a full stop or
 * a comma.
 */
export function extractAnswer(output: string, extract: Extract): string {
  const text = output.trim();
  switch (extract) {
    case "last_number":
      return (text.match(NUMBER) ?? []).at(-1) ?? "";
    case "first_word":
      return /^\S*/.exec(text)![0];
    case "first_phrase":
      // A full stop inside a number or an abbreviation such as "U.S." does not end a phrase.
      return text.split(/[\n,]|\.(?=\s|$)|[。，]/u, 1)[0]!.trim();
    case "first_line":
      return text.split("\n", 1)[0]!.trim();
    case "all":
      return text;
    default:
      throw extract satisfies never;
  }
}

/**
 * Agreement of an answer with its best reference, 0 to 1.
 * @param answer as `extractAnswer` returns it.
 * @param references at least one.
 */
export function scoreAnswer(metric: GenerationMetric, answer: string, references: readonly string[]): number {
  return Math.max(...references.map((reference) => agreement(metric, answer, reference)));
}

function agreement(metric: GenerationMetric, answer: string, reference: string): number {
  switch (metric) {
    case "exact_match": {
      const number = numberOf(reference);
      if (number !== null) return numberOf(answer) === number ? 1 : 0;
      return answerTokens(answer).join(" ") === answerTokens(reference).join(" ") ? 1 : 0;
    }
    case "f1":
      return tokenF1(answerTokens(answer), answerTokens(reference));
    case "rougeL":
      return rougeL(wordTokens(answer), wordTokens(reference));
    default:
      throw metric satisfies never;
  }
}

/** A text as a number, or null if it is not one. */
function numberOf(text: string): number | null {
  const found = text.trim().match(NUMBER);
  return found?.length === 1 && found[0] === text.trim() ? Number(found[0].replaceAll(",", "")) : null;
}

/** SQuAD's normalisation: lower case, no punctuation, no English articles. */
function answerTokens(text: string): string[] {
  return wordsOf(text.toLowerCase().replaceAll(/[\p{P}\p{S}]/gu, "")).filter((token) => !ENGLISH_ARTICLES.has(token));
}

/** `rouge-score`'s tokens, extended to all scripts: runs of letters and digits in lower case. */
function wordTokens(text: string): string[] {
  return wordsOf(text.toLowerCase().replaceAll(/[^\p{L}\p{M}\p{N}]+/gu, " "));
}

function wordsOf(text: string): string[] {
  return text
    .replaceAll(UNSPACED, " $& ")
    .split(/\s+/)
    .filter((token) => token !== "");
}

function tokenF1(answer: readonly string[], reference: readonly string[]): number {
  if (answer.length === 0 || reference.length === 0) return answer.length === reference.length ? 1 : 0;
  const left = new Map<string, number>();
  for (const token of reference) left.set(token, (left.get(token) ?? 0) + 1);
  let common = 0;
  for (const token of answer) {
    const count = left.get(token) ?? 0;
    if (count === 0) continue;
    left.set(token, count - 1);
    common++;
  }
  return harmonic(common / answer.length, common / reference.length);
}

function rougeL(answer: readonly string[], reference: readonly string[]): number {
  if (answer.length === 0 || reference.length === 0) return 0;
  const common = commonSubsequence(answer, reference);
  return harmonic(common / answer.length, common / reference.length);
}

/** Length of the longest common subsequence. */
function commonSubsequence(a: readonly string[], b: readonly string[]): number {
  let previous = new Uint32Array(b.length + 1);
  for (const token of a) {
    const current = new Uint32Array(b.length + 1);
    for (let j = 1; j <= b.length; j++) {
      current[j] = token === b[j - 1] ? previous[j - 1]! + 1 : Math.max(previous[j]!, current[j - 1]!);
    }
    previous = current;
  }
  return previous[b.length]!;
}

function harmonic(precision: number, recall: number): number {
  return precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
}
