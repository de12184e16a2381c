/**
 * @file The most likely of several: index of the largest value, the first of equal ones, as NumPy's argmax.
 */

/** Index of the largest value; −1 if there are no values. */
export function indexOfLargest(values: ArrayLike<number>): number {
  let best = values.length === 0 ? -1 : 0;
  for (let index = 1; index < values.length; index++) if (values[index]! > values[best]!) best = index;
  return best;
}
