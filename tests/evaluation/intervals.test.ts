/** @file Intervals and tests against SciPy 1.17 (binomtest, proportion_ci, t, ttest_rel, sem). */

import { describe, expect, test } from "vitest";
import { fairCoinTwoSided, studentQuantile, studentTwoSided } from "../../src/evaluation/distributions.ts";
import { expFigure, ratioDifference, ratioFigure, shareDifference, shareFigure } from "../../src/evaluation/intervals.ts";

/** Both sides compute in f64, by different formulas. */
const DIGITS = 10;
const A = [1.5, 2.25, 0.5, 3.75, 2, 1];
const B = [1.25, 2.5, 0.25, 3, 1.5, 1.5];
const ONES = A.map(() => 1);
const shares = (right: number, count: number) => Array.from({ length: count }, (_, index) => index < right);

describe("distributions", () => {
  test.each([
    [2, 1, 0.2951672353008665],
    [1.3, 4, 0.2634515964712241],
    [2.5, 39, 0.01673378474719785],
    [0.1, 1000, 0.9203643690236041],
    [6, 12, 6.216738864858563e-5],
    [30, 3, 8.135280427163958e-5],
    [0, 7, 1],
    [Number.POSITIVE_INFINITY, 7, 0],
  ])("P(|T| ≥ %d) with %d degrees of freedom", (t, degrees, expected) =>
    expect(studentTwoSided(t, degrees)).toBeCloseTo(expected, DIGITS),
  );

  test.each([
    [1, 12.706204736174694],
    [2, 4.302652729749462],
    [10, 2.228138851986274],
    [249, 1.9695368676403504],
    [10_000, 1.960201239890626],
  ])("t of 97.5%% with %d degrees of freedom", (degrees, expected) =>
    expect(studentQuantile(0.05, degrees)).toBeCloseTo(expected, 9),
  );

  test.each([
    [0, 0, 1],
    [1, 0, 1],
    [3, 9, 0.14599609375],
    [12, 12, 1],
    [100, 140, 0.01166409231767769],
    [0, 2000, 0],
  ])("a fair coin that falls %d to %d", (heads, tails, expected) => {
    expect(fairCoinTwoSided(heads, tails)).toBeCloseTo(expected, DIGITS);
    expect(fairCoinTwoSided(tails, heads)).toBe(fairCoinTwoSided(heads, tails));
  });
});

describe("figures", () => {
  test.each([
    [0, 10, 0, 0.27753279986288926],
    [18, 40, 0.30705307810904925, 0.6017090820106794],
    [40, 40, 0.9123783988027133, 1],
    [1, 3, 0.06149194472039626, 0.7923403991979523],
  ])("%d of %d have Wilson's interval", (right, count, low, high) => {
    const { value, interval } = shareFigure(shares(right, count));
    expect(value).toBe(right / count);
    expect(interval![0]).toBeCloseTo(low, DIGITS);
    expect(interval![1]).toBeCloseTo(high, DIGITS);
  });

  test("a mean has Student's interval", () => {
    const { value, standardError, interval } = ratioFigure(A, ONES);
    expect(value).toBeCloseTo(1.8333333333333333, DIGITS);
    expect(standardError).toBeCloseTo(0.4639803635691685, DIGITS);
    expect(interval![0]).toBeCloseTo(0.6406338386504955, 8);
    expect(interval![1]).toBeCloseTo(3.026032828016171, 8);
  });

  test("a ratio does not depend on the unit of its weights, and is exact if values are proportional to them", () => {
    const weights = [10, 20, 5, 40, 15, 10];
    const { value, standardError, interval } = ratioFigure(A, weights);
    const scaled = ratioFigure(
      A,
      weights.map((weight) => weight * 8),
    );
    expect(scaled.value * 8).toBeCloseTo(value, DIGITS);
    expect(scaled.standardError! * 8).toBeCloseTo(standardError!, DIGITS);
    expect(interval![0]).toBeLessThan(value);
    expect(
      ratioFigure(
        weights.map((weight) => weight / 4),
        weights,
      ),
    ).toEqual({ value: 0.25, standardError: 0, interval: [0.25, 0.25] });
  });

  test("one item has no interval, except that of a share", () => {
    expect(ratioFigure([3], [2])).toEqual({ value: 1.5, standardError: null, interval: null });
    expect(shareFigure([true])).toMatchObject({ value: 1, standardError: null, interval: [expect.any(Number), 1] });
    expect(ratioDifference([3], [1], [2]).pValue).toBeNull();
  });

  test("exp applies to value and interval", () => {
    const figure = expFigure({ value: 1, standardError: 0.5, interval: [0, 2] });
    expect(figure).toEqual({ value: Math.E, standardError: Math.E / 2, interval: [1, Math.exp(2)] });
  });
});

describe("differences", () => {
  test("of means have the paired t-test's interval and p-value", () => {
    const { value, interval, pValue } = ratioDifference(A, B, ONES);
    expect(value).toBeCloseTo(1 / 6, DIGITS);
    expect(interval![0]).toBeCloseTo(-0.3218190395331263, 8);
    expect(interval![1]).toBeCloseTo(0.6551523728664596, 8);
    expect(pValue).toBeCloseTo(0.4205910269145423, DIGITS);
  });

  test("between a model and itself are zero", () => {
    expect(ratioDifference(A, A, ONES)).toEqual({ value: 0, standardError: 0, interval: [0, 0], pValue: 1 });
    expect(shareDifference([true, false], [true, false])).toMatchObject({ value: 0, pValue: 1 });
  });

  test("of shares have McNemar's p-value: items that both have right do not count", () => {
    const a = [...shares(3, 12), ...shares(20, 20)];
    const b = [...shares(3, 12).map((right) => !right), ...shares(20, 20)];
    const { value, pValue } = shareDifference(a, b);
    expect(value).toBeCloseTo(-6 / 32, DIGITS);
    expect(pValue).toBeCloseTo(0.14599609375, DIGITS);
  });
});
