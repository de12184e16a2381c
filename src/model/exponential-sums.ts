/**
 * @file Sums of exponentials of logits that come in slices of the vocabulary: the running maximum is carried along, so
 * that no exponential overflows.
 */

/** Σ exp(logit) of rows as exp(maximum) · sum. */
export interface ExponentialSums {
  readonly maxima: Float64Array;
  readonly sums: Float64Array;
}

/** Sums to which nothing has been added. */
export function newSums(rows: number): ExponentialSums {
  return { maxima: new Float64Array(rows).fill(Number.NEGATIVE_INFINITY), sums: new Float64Array(rows) };
}

/** log Σ exp(logit) of a row. */
export function logSum({ maxima, sums }: ExponentialSums, row: number): number {
  return maxima[row]! + Math.log(sums[row]!);
}

/**
 * Adds a slice to a row's sum.
 * @returns the factors that bring the sum so far (`before`) and the slice (`added`) to the new maximum.
 */
export function addExponentials(
  { maxima, sums }: ExponentialSums,
  row: number,
  maximum: number,
  sum: number,
): { readonly before: number; readonly added: number } {
  const highest = Math.max(maxima[row]!, maximum);
  const before = Math.exp(maxima[row]! - highest);
  const added = Math.exp(maximum - highest);
  sums[row] = sums[row]! * before + sum * added;
  maxima[row] = highest;
  return { before, added };
}
