/**
 * @file The likeliest of several: index of the largest value, the first where several are equal, as NumPy's argmax.
 */

/** Index of the largest value. −1 of none. */
export function indexOfLargest(values: ArrayLike<number>): number {
  let best = values.length === 0 ? -1 : 0;
  for (let index = 1; index < values.length; index++) if (values[index]! > values[best]!) best = index;
  return best;
}
