/**
 * @file Values per item → a figure with its standard error and 95% interval, and the difference of two models on the
 * same items. Everything is in closed form, so that the same values always give the same figures.
 */

import { fairCoinTwoSided, studentQuantile, studentTwoSided } from "./distributions.ts";

/** Intervals hold the true value in 95% of samples. */
const OUTSIDE = 0.05;
/** The normal quantile of 97.5%, for Wilson's interval. */
const Z = 1.959963984540054;

/** Lower and upper end of a 95% interval. */
export type Interval = readonly [number, number];

/** A figure over the items of a task, as a sample of all such items. */
export interface Figure {
  readonly value: number;
  /** Null for a single item, which says nothing about it. */
  readonly standardError: number | null;
  readonly interval: Interval | null;
}

/** The difference between two models' figures on the same items. */
export interface Difference extends Figure {
  /** Probability of a difference at least as large if the models were equally good. Null for a single item. */
  readonly pValue: number | null;
}

/**
 * Σ values / Σ weights with the interval of a ratio of means (Cochran, Sampling Techniques, 3rd ed., 6.4), by Student's
 * t. With all weights 1 it is the mean.
 * @param weights of the items, positive, as many as values.
 */
export function ratioFigure(values: readonly number[], weights: readonly number[]): Figure {
  const count = values.length;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const value = values.reduce((sum, each) => sum + each, 0) / total;
  if (count < 2) return { value, standardError: null, interval: null };
  const squares = values.reduce((sum, each, index) => sum + (each - value * weights[index]!) ** 2, 0);
  const standardError = Math.sqrt((squares * count) / (count - 1)) / total;
  const reach = studentQuantile(OUTSIDE, count - 1) * standardError;
  return { value, standardError, interval: [value - reach, value + reach] };
}

/**
 * Share of items that are right, with the standard error of a sample and Wilson's interval (1927), which stays inside 0
 * to 1.
 */
export function shareFigure(right: readonly boolean[]): Figure {
  const count = right.length;
  const { value, standardError } = ratioFigure(
    right.map(Number),
    right.map(() => 1),
  );
  const spread = Z * Math.sqrt((value * (1 - value)) / count + (Z / (2 * count)) ** 2);
  const scale = 1 + Z ** 2 / count;
  const middle = value + Z ** 2 / (2 * count);
  return { value, standardError, interval: [Math.max(0, (middle - spread) / scale), Math.min(1, (middle + spread) / scale)] };
}

/** exp of a figure; its standard error by the delta method. */
export function expFigure({ value, standardError, interval }: Figure): Figure {
  return {
    value: Math.exp(value),
    standardError: standardError === null ? null : Math.exp(value) * standardError,
    interval: interval === null ? null : [Math.exp(interval[0]), Math.exp(interval[1])],
  };
}

/** Difference a − b of two models' ratios over the same weights, tested by the paired t-test. */
export function ratioDifference(a: readonly number[], b: readonly number[], weights: readonly number[]): Difference {
  const figure = ratioFigure(
    a.map((value, index) => value - b[index]!),
    weights,
  );
  if (figure.standardError === null) return { ...figure, pValue: null };
  if (figure.standardError === 0) return { ...figure, pValue: figure.value === 0 ? 1 : 0 };
  return { ...figure, pValue: studentTwoSided(figure.value / figure.standardError, a.length - 1) };
}

/**
 * Difference a − b of two models' shares, tested by McNemar's exact test on the items that only one of them has right.
 */
export function shareDifference(a: readonly boolean[], b: readonly boolean[]): Difference {
  const { value, standardError, interval } = ratioFigure(
    a.map((right, index) => Number(right) - Number(b[index]!)),
    a.map(() => 1),
  );
  const onlyA = a.filter((right, index) => right && !b[index]!).length;
  const onlyB = b.filter((right, index) => right && !a[index]!).length;
  return { value, standardError, interval, pValue: fairCoinTwoSided(onlyA, onlyB) };
}
