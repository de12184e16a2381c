import { describe, expect, test } from "vitest";
import { agrees, compareAnswers, TOLERANCES } from "../../src/verification/compare.ts";
import type { RuntimeAnswer } from "../../src/verification/runtime.ts";

/** Three tokens of text and two of continuation, V = 4. */
const OURS = Float32Array.from([1, 2, 3, 0, 0, 1, 0, 2, 3, 0, 1, 1, 0, 5, 1, 2]);
const IDS = [0, 2, 3];

function answer(changes: Partial<RuntimeAnswer> = {}): RuntimeAnswer {
  // Adding a constant to all logits of a token does not change probabilities.
  const logits = OURS.slice(0, 12).map((value, index) => value + Math.floor(index / 4));
  return { version: "some 1.0", logits, vocabSize: 4, continuation: [0, 1], textIds: [2, 3], ...changes };
}

describe("compareAnswers", () => {
  test("ignores a constant added to the logits", () => {
    const found = compareAnswers(OURS, answer(), IDS, [2, 3]);
    expect(found.relativeError).toBeLessThan(1e-6);
    expect(found.divergence).toBeCloseTo(0, 6);
    expect(found.greedy).toEqual({ agreed: 2, of: 2, gap: 0 });
    expect(found.sameTokens).toBe(true);
    // Of token 2 after token 0 and token 3 after token 2, computed by hand.
    const p1 = Math.exp(3) / (Math.exp(1) + Math.exp(2) + Math.exp(3) + 1);
    const p2 = Math.exp(2) / (1 + Math.exp(1) + 1 + Math.exp(2));
    expect(found.perplexity.ours).toBeCloseTo(1 / Math.sqrt(p1 * p2), 6);
    expect(found.perplexity.theirs).toBeCloseTo(found.perplexity.ours, 6);
    expect(agrees(found, TOLERANCES.float)).toBe(true);
  });

  test("detects a different logit, continuation or tokenisation", () => {
    const logits = answer().logits.slice();
    logits[5]! += 2;
    const other = compareAnswers(OURS, answer({ logits }), IDS, null);
    // The second of three tokens: Σ p · (log p − log q), computed by hand.
    const [p, q] = [
      [0, 1, 0, 2],
      [0, 3, 0, 2],
    ].map((row) => row.map((x) => Math.exp(x) / row.reduce((sum, y) => sum + Math.exp(y), 0)));
    expect(other.divergence).toBeCloseTo(p!.reduce((sum, value, id) => sum + value * Math.log(value / q![id]!), 0) / 3, 6);
    expect(other.relativeError).toBeGreaterThan(0.05);
    expect(other.sameTokens).toBeNull();
    expect(agrees(other, TOLERANCES.quantized)).toBe(false);

    const written = compareAnswers(OURS, answer({ continuation: [0, 3] }), IDS, [2, 3]);
    expect(written.greedy).toEqual({ agreed: 1, of: 2, gap: 3 });
    expect(agrees(written, TOLERANCES.quantized)).toBe(false);

    const cut = compareAnswers(OURS, answer({ textIds: [2, 1] }), IDS, [2, 3]);
    expect(agrees(cut, TOLERANCES.float)).toBe(false);
  });

  test("a runtime that returns NaN does not agree", () => {
    const logits = answer().logits.fill(Number.NaN);
    expect(agrees(compareAnswers(OURS, answer({ logits }), IDS, null), TOLERANCES.quantized)).toBe(false);
  });

  test("probabilities that underflow in f32 equal the smallest ones", () => {
    const ours = Float32Array.from([0, -200, 0, -200]);
    const theirs = Float32Array.from([0, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY]);
    const found = compareAnswers(ours, answer({ logits: theirs, vocabSize: 2, continuation: [] }), [0, 0], null);
    expect(found.relativeError).toBe(0);
  });
});
