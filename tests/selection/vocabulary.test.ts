/** @file Which tokens go, and in which order. */

import { describe, expect, test } from "vitest";
import type { Dimension } from "../../src/corpora/corpus.ts";
import type { VocabularyRelevance } from "../../src/scoring/relevance.ts";
import { selectVocabulary } from "../../src/selection/select-vocabulary.ts";
import { orderTokens } from "../../src/selection/token-order.ts";

const ONE: ReadonlyMap<Dimension, number> = new Map([["language", 1]]);

/** Tokens 0 to 3 are characters; 4 = 0+1, 5 = 4+2, 6 = 2+3. */
const DERIVATIONS = new Map<number, readonly [number, number]>([
  [4, [0, 1]],
  [5, [4, 2]],
  [6, [2, 3]],
]);

function vocabulary(
  relevances: Readonly<Partial<Record<Dimension, readonly number[]>>>,
  alwaysKept: readonly number[] = [0, 1, 2, 3],
): VocabularyRelevance {
  return {
    relevances: new Map(Object.entries(relevances).map(([name, values]) => [name as Dimension, Float64Array.from(values)])),
    derivations: DERIVATIONS,
    alwaysKept: new Set(alwaysKept),
  };
}

describe("the order", () => {
  test("takes the least relevant first, none before what is merged from it, and what it was goes to its parts", () => {
    const { tokens, splits } = orderTokens(vocabulary({ language: [0.1, 0.1, 0.1, 0.1, 0.05, 0.25, 0.3] }), ONE);
    // 4 is rarer than all, but 5 is merged from it; when 5 goes, 4 has 0.05 + 0.25.
    expect([...tokens]).toEqual([5, 6, 4]);
    expect([...splits[0]!].map((share) => Number(share.toFixed(6)))).toEqual([0.25, 0.55, 0.85]);
  });

  test("keeps what any dimension needs, as its weight says", () => {
    const both = vocabulary({ language: [0, 0, 0, 0, 0, 0.4, 0.1], domain: [0, 0, 0, 0, 0, 0.01, 0.3] });
    expect([...orderTokens(both, ONE).tokens]).toEqual([6, 5, 4]);
    expect([
      ...orderTokens(
        both,
        new Map<Dimension, number>([
          ["language", 1],
          ["domain", 2],
        ]),
      ).tokens,
    ]).toEqual([5, 4, 6]);
  });

  test("keeps what a kept token is merged from", () => {
    const { tokens } = orderTokens(vocabulary({ language: [0, 0, 0, 0, 0, 0, 0] }, [5]), ONE);
    expect([...tokens].toSorted()).toEqual([3, 6]);
  });
});

describe("the choice", () => {
  const size = 1024;
  /** Token n is seen with a share that falls with n; the first 256 stay. */
  const many: VocabularyRelevance = {
    relevances: new Map([["language" as const, Float64Array.from({ length: size }, (_, id) => 2 ** -(id / 64))]]),
    derivations: new Map(),
    alwaysKept: new Set(Array.from({ length: 256 }, (_, id) => id)),
  };

  test("by size is exact, by coverage as few as cover it, in steps of 64", () => {
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

  test("by the budget takes no more than it asks for", () => {
    expect(selectVocabulary(many, undefined, ONE, 8, 8 * 100)?.removed ?? []).toHaveLength(64);
    expect(selectVocabulary(many, undefined, ONE, 8, 0)).toBeNull();
  });

  test("keeps all where it is told to, or where tokens were not scored", () => {
    expect(selectVocabulary(many, "keep", ONE, 8, 1e9)).toBeNull();
    expect(selectVocabulary(null, undefined, ONE, 8, 1e9)).toBeNull();
  });

  test("refuses what cannot be", () => {
    expect(() => selectVocabulary(null, { size: 300 }, ONE, 8, 0)).toThrow(/no relevances of tokens/);
    expect(() => selectVocabulary(many, { size: 200 }, ONE, 8, 0)).toThrow(/at least 256 tokens/);
    expect(() => selectVocabulary(many, { coverage: 0 }, ONE, 8, 0)).toThrow(/over 0%/);
  });
});
