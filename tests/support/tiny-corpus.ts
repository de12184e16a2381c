/**
 * @file Corpora for tiny models: texts of the words that `tinyTokenizerFiles` knows.
 */

import { writeFile } from "node:fs/promises";

/** Writes `documents` JSONL documents of `words` words each, drawn by a seed from the first `vocabulary` words. */
export async function writeTinyCorpus(
  path: string,
  {
    seed = 1,
    documents = 12,
    words = 40,
    vocabulary = 48,
  }: { seed?: number; documents?: number; words?: number; vocabulary?: number } = {},
): Promise<string> {
  let state = seed;
  // A linear congruential generator (Numerical Recipes): any fixed sequence will do.
  const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  const line = (): string =>
    JSON.stringify({ text: Array.from({ length: words }, () => `w${Math.floor(next() * vocabulary)}`).join(" ") });
  await writeFile(path, `${Array.from({ length: documents }, line).join("\n")}\n`);
  return path;
}
