/** @file What tokens are scored from: each part of it makes other scores. */

import { expect, test } from "vitest";
import { vocabularyFingerprint } from "../../src/scoring/fingerprint.ts";
import type { VocabularyFacts } from "../../src/scoring/token-relevance.ts";

const shares = (...values: number[]): Float64Array => Float64Array.from(values);

function facts(changes: Partial<VocabularyFacts> = {}): VocabularyFacts {
  return {
    counts: new Map([["domain", { halves: [shares(0.25, 0.75), shares(0.5, 0.5)], words: null }]]),
    derivations: new Map([[1, [0, 0]]]),
    alwaysKept: new Set([0]),
    ...changes,
  };
}

const counted = (halves: readonly [Float64Array, Float64Array], words: Float64Array | null): VocabularyFacts =>
  facts({ counts: new Map([["domain", { halves, words }]]) });

test.each<[string, VocabularyFacts]>([
  ["another count in text that no document was drawn from", counted([shares(0.25, 0.75), shares(0.375, 0.625)], null)],
  ["the halves exchanged", counted([shares(0.5, 0.5), shares(0.25, 0.75)], null)],
  ["a list of words", counted([shares(0.25, 0.75), shares(0.5, 0.5)], shares(1, 0))],
  ["another dimension", facts({ counts: new Map([["task", facts().counts.get("domain")!]]) })],
  ["other parts of a token", facts({ derivations: new Map() })],
  ["other tokens that are kept", facts({ alwaysKept: new Set([1]) })],
])("%s", (_, changed) => {
  expect(vocabularyFingerprint(facts())).toBe(vocabularyFingerprint(facts()));
  expect(vocabularyFingerprint(changed)).not.toBe(vocabularyFingerprint(facts()));
});
