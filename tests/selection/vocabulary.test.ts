/** @file Which tokens are removed, and in which order. */

import { describe, expect, test } from "vitest";
import type { Dimension } from "../../src/corpora/corpus.ts";
import type { TokenRelevance, VocabularyRelevance } from "../../src/scoring/relevance.ts";
import { selectVocabulary } from "../../src/selection/select-vocabulary.ts";
import { orderByRelevance, orderTokens } from "../../src/selection/token-order.ts";

const ONE: ReadonlyMap<Dimension, number> = new Map([["language", 1]]);

/** Tokens 0 to 3 are characters; 4 = 0+1, 5 = 4+2, 6 = 2+3. */
const DERIVATIONS = new Map<number, readonly [number, number]>([
  [4, [0, 1]],
  [5, [4, 2]],
  [6, [2, 3]],
]);

const tokensThatStay = (ids: readonly number[]): Pick<VocabularyRelevance, "derivations" | "alwaysKept"> => ({
  derivations: DERIVATIONS,
  alwaysKept: new Set(ids),
});

/** Relevances that are the same in both halves. */
const agreed = (values: readonly number[]): TokenRelevance => {
  const shares = Float64Array.from(values);
  return { halves: [shares, shares], counted: [shares, shares] };
};

const rounded = (values: Float64Array | undefined): number[] => Array.from(values ?? [], (value) => Number(value.toFixed(6)));

describe("the order", () => {
  test("removes the least relevant first, none before those merged from it, and adds its relevance to its parts", () => {
    const values = Float64Array.from([0.1, 0.1, 0.1, 0.1, 0.05, 0.25, 0.3]);
    const { tokens, splits } = orderTokens(tokensThatStay([0, 1, 2, 3]), { keys: [{ values, weight: 1 }], watched: [values] });
    // 4 is the rarest, but 5 is merged from it; after 5 is removed, 4 has 0.05 + 0.25.
    expect([...tokens]).toEqual([5, 6, 4]);
    expect(rounded(splits[0])).toEqual([0.25, 0.55, 0.85]);
  });

  test("keeps the tokens that any dimension needs, by its weight", () => {
    const [language, domain] = [agreed([0, 0, 0, 0, 0, 0.4, 0.1]), agreed([0, 0, 0, 0, 0, 0.01, 0.3])];
    const both: VocabularyRelevance = {
      ...tokensThatStay([0, 1, 2, 3]),
      relevances: new Map([
        ["language", language],
        ["domain", domain],
      ]),
    };
    const order = (weights: readonly (readonly [Dimension, number])[]): number[] => [
      ...orderByRelevance(both, new Map(weights)).tokens,
    ];
    expect(order([["language", 1]])).toEqual([6, 5, 4]);
    expect(
      order([
        ["language", 1],
        ["domain", 1],
      ]),
    ).toEqual([6, 5, 4]);
    expect(
      order([
        ["language", 1],
        ["domain", 2],
      ]),
    ).toEqual([5, 4, 6]);
  });

  test("keeps the parts of a kept token", () => {
    const { tokens } = orderTokens(tokensThatStay([5]), { keys: [{ values: new Float64Array(7), weight: 1 }], watched: [] });
    expect([...tokens].toSorted((a, b) => a - b)).toEqual([3, 6]);
  });

  test("evaluates the order from one half of the documents on the other half", () => {
    // Each half knows one of two words that the other half has never seen.
    const [first, second] = [Float64Array.from([0, 0, 0, 0, 0.5, 0, 0]), Float64Array.from([0, 0, 0, 0, 0, 0, 0.5])];
    const derivations = new Map([
      [4, [0, 1]],
      [6, [2, 3]],
    ] as const);
    const relevances = new Map([["language" as const, { halves: [first, second], counted: [first, second] } as const]]);
    const { splits } = orderByRelevance({ derivations, alwaysKept: new Set([0, 1, 2, 3, 5]), relevances }, ONE);
    // The first step of the order from all documents splits half of the tokens; that of either half splits all of the
    // other half's.
    expect(rounded(splits[0])).toEqual([0.5, 0.5]);
  });
});

describe("the choice", () => {
  const size = 1024;
  /** The share of token n falls with n; the first 256 are always kept. */
  const many: VocabularyRelevance = {
    relevances: new Map([["language" as const, agreed(Array.from({ length: size }, (_, id) => 2 ** -(id / 64)))]]),
    derivations: new Map(),
    alwaysKept: new Set(Array.from({ length: 256 }, (_, id) => id)),
  };

  test("by size is exact, by coverage the smallest multiple of 64 that covers it", () => {
    expect(selectVocabulary(many, { size: 300 }, ONE, 8, 0)?.removed).toHaveLength(size - 300);
    const cut = selectVocabulary(many, { coverage: 0.9 }, ONE, 8, 0)!;
    expect((size - cut.removed.length) % 64).toBe(0);
    expect(cut.splits.language).toBeLessThanOrEqual(0.1);
    const lost = cut.removed.reduce((sum, id) => sum + 2 ** -(id / 64), 0);
    expect(cut.splits.language).toBeCloseTo(lost, 4);
    const next = Array.from({ length: 64 }, (_, i) => 2 ** -((size - cut.removed.length - 1 - i) / 64)).reduce(
      (a, b) => a + b,
      0,
    );
    expect(lost + next).toBeGreaterThan(0.1);
  });

  test("by the budget removes no more than it requests", () => {
    expect(selectVocabulary(many, undefined, ONE, 8, 8 * 100)?.removed ?? []).toHaveLength(64);
    expect(selectVocabulary(many, undefined, ONE, 8, 0)).toBeNull();
  });

  test("keeps all if the vocabulary is kept, or if tokens were not scored", () => {
    expect(selectVocabulary(many, "keep", ONE, 8, 1e9)).toBeNull();
    expect(selectVocabulary(null, undefined, ONE, 8, 1e9)).toBeNull();
  });

  test("refuses impossible choices", () => {
    expect(() => selectVocabulary(null, { size: 300 }, ONE, 8, 0)).toThrow(/no relevances of tokens/);
    expect(() => selectVocabulary(many, { size: 200 }, ONE, 8, 0)).toThrow(/at least 256 tokens/);
    expect(() => selectVocabulary(many, { coverage: 0 }, ONE, 8, 0)).toThrow(/above 0%/);
  });
});
