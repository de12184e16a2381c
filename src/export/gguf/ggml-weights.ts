/**
 * @file Weights of the squared errors in GGML's searches for scales: without importances from the values themselves;
 * with importances from the importance of each column and, to a lesser extent, from the values. Source and exactness:
 * see `ggml-quantize.ts`.
 */

const { fround } = Math;

/** Weight of a value: its magnitude plus the root mean square of all. */
export function weighByMagnitude(values: Float32Array, weights: Float32Array): void {
  const rootMeanSquare = fround(Math.sqrt(meanSquare(values)));
  for (let i = 0; i < values.length; i++) weights[i] = rootMeanSquare + Math.abs(values[i]!);
}

/** Weight of a value: its square. */
export function weighBySquare(values: Float32Array, weights: Float32Array): void {
  for (let i = 0; i < values.length; i++) weights[i] = values[i]! * values[i]!;
}

/**
 * Weight of a value: importance · √(level + x²).
 * @param importance of the values' columns, in their order.
 * @param level mean square of the surrounding values.
 */
export function weighByImportance(values: Float32Array, importance: Float32Array, level: number, weights: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    const magnitude = fround(Math.sqrt(fround(level + fround(values[i]! * values[i]!))));
    weights[i] = importance[i]! * magnitude;
  }
}

/** Mean of the values' squares, times a factor that is a power of two. */
export function meanSquare(values: Float32Array, factor = 1): number {
  return fround(fround(factor * sumOf(values, (x) => fround(x * x))) / values.length);
}

/** Sum of weights. */
export function sumOfWeights(weights: Float32Array): number {
  return sumOf(weights, (weight) => weight);
}

function sumOf(values: Float32Array, term: (value: number) => number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum = fround(sum + term(values[i]!));
  return sum;
}
