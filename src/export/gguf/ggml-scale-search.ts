/**
 * @file GGML's searches for a block's scale: each tries a series of scales and keeps the one with the least weighted
 * squared error. Source and exactness: see `ggml-quantize.ts`; here `make_qkx2_quants` (`make_qkx3_quants` is the same
 * if weights are given), `make_qx_quants` and `make_qp_quants` of `ggml-quants.c`. Sums are named as there: w a weight,
 * l a quant, x a value.
 */

import { nearestInteger } from "./ggml-rounding.ts";

const { fround } = Math;

/** `GROUP_MAX_EPS`: values whose magnitudes are all under this are written as zeros. */
export const NEGLIGIBLE: number = fround(1e-15);

/** Which scales are tried: largestQuant + first + i·step for i from 0 to `steps`, over the values' range. */
export interface ScaleSearch {
  readonly largestQuant: number;
  readonly first: number;
  readonly step: number;
  readonly steps: number;
}

/** Longest block that is searched at once. */
const MAX_VALUES = 32;

/**
 * Quants of the scale that was tried last. If the next scale has the same quants, its error is the same and is not
 * computed again.
 */
const tried = new Int8Array(MAX_VALUES);

/**
 * Scale and minimum of x ≈ scale·l − minimum.
 * @param values up to 32 values.
 * @param weights of the squared error of each value.
 * @param quants receives their quants, 0 to `largestQuant`.
 */
export function findScaleAndMinimum(
  values: Float32Array,
  weights: Float32Array,
  quants: Uint8Array,
  search: ScaleSearch,
): { scale: number; minimum: number } {
  const count = values.length;
  const { largestQuant } = search;
  let min = values[0]!;
  let max = values[0]!;
  let sumW = weights[0]!;
  let sumX = fround(sumW * values[0]!);
  for (let i = 1; i < count; i++) {
    const x = values[i]!;
    if (x < min) min = x;
    if (x > max) max = x;
    const w = weights[i]!;
    sumW = fround(sumW + w);
    sumX = fround(sumX + fround(w * x));
  }
  if (min > 0) min = 0;
  if (max === min) {
    quants.fill(0);
    return { scale: 0, minimum: -min };
  }
  let inverse = fround(largestQuant / fround(max - min));
  let scale = fround(1 / inverse);
  let leastError = 0;
  tryQuants(values, inverse, min, 0, largestQuant);
  for (let i = 0; i < count; i++) {
    const l = tried[i]!;
    quants[i] = l;
    const difference = fround(fround(fround(scale * l) + min) - values[i]!);
    leastError = fround(leastError + fround(weights[i]! * fround(difference * difference)));
  }
  for (let step = 0; step <= search.steps; step++) {
    // The range shrinks with the minimum that was found last, as in the source.
    inverse = fround(fround(fround(search.first + fround(search.step * step)) + largestQuant) / fround(max - min));
    if (!tryQuants(values, inverse, min, 0, largestQuant) && step > 0) continue;
    let sumL = 0;
    let sumL2 = 0;
    let sumXL = 0;
    for (let i = 0; i < count; i++) {
      const x = values[i]!;
      const l = tried[i]!;
      const wl = fround(weights[i]! * l);
      sumL = fround(sumL + wl);
      sumL2 = fround(sumL2 + fround(wl * l));
      sumXL = fround(sumXL + fround(wl * x));
    }
    const determinant = fround(fround(sumW * sumL2) - fround(sumL * sumL));
    if (!(determinant > 0)) continue;
    let thisScale = fround(fround(fround(sumW * sumXL) - fround(sumX * sumL)) / determinant);
    let thisMin = fround(fround(fround(sumL2 * sumX) - fround(sumL * sumXL)) / determinant);
    if (thisMin > 0) {
      thisMin = 0;
      thisScale = fround(sumXL / sumL2);
    }
    // The error only grows: summing stops once it exceeds the least error.
    let error = 0;
    for (let i = 0; i < count && error < leastError; i++) {
      const difference = fround(fround(fround(thisScale * tried[i]!) + thisMin) - values[i]!);
      error = fround(error + fround(weights[i]! * fround(difference * difference)));
    }
    if (error < leastError) {
      quants.set(tried.subarray(0, count));
      leastError = error;
      scale = thisScale;
      min = thisMin;
    }
  }
  return { scale, minimum: -min };
}

/**
 * Writes the quants inverse·(x − min), clamped, into `tried`.
 * @returns whether any of them changed.
 */
function tryQuants(values: Float32Array, inverse: number, min: number, smallest: number, largest: number): boolean {
  let changed = 0;
  for (let i = 0; i < values.length; i++) {
    const quant = nearestInteger(fround(inverse * fround(values[i]! - min)));
    const l = quant < smallest ? smallest : quant > largest ? largest : quant;
    changed |= tried[i]! ^ l;
    tried[i] = l;
  }
  return changed !== 0;
}

/**
 * Scale of x ≈ scale·l with l from −`half` to `half` − 1.
 * @param weights of the squared error of each value.
 * @param quants receives l + `half`.
 */
export function findScale(values: Float32Array, weights: Float32Array, quants: Uint8Array, half: number): number {
  let extreme = 0;
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i]!) > Math.abs(extreme)) extreme = values[i]!;
  if (Math.abs(extreme) < NEGLIGIBLE) {
    quants.fill(0);
    return 0;
  }
  tryQuants(values, fround(-half / extreme), 0, -half, half - 1);
  let sums = sumQuants(values, weights);
  setQuants(quants, half);
  let scale = sums.l2 === 0 ? 0 : fround(sums.lx / sums.l2);
  let best = fround(scale * sums.lx);
  for (let step = -9; step <= 9; step++) {
    if (step === 0) continue;
    const inverse = fround(-fround(half + fround(fround(0.1) * step)) / extreme);
    if (!tryQuants(values, inverse, 0, -half, half - 1)) continue;
    sums = sumQuants(values, weights);
    if (!(sums.l2 > 0 && fround(sums.lx * sums.lx) > fround(best * sums.l2))) continue;
    setQuants(quants, half);
    scale = fround(sums.lx / sums.l2);
    best = fround(scale * sums.lx);
  }
  return scale;
}

/** Sums of `tried`. */
function sumQuants(values: Float32Array, weights: Float32Array): { lx: number; l2: number } {
  let lx = 0;
  let l2 = 0;
  for (let i = 0; i < values.length; i++) {
    const l = tried[i]!;
    const w = weights[i]!;
    lx = fround(lx + fround(fround(w * values[i]!) * l));
    l2 = fround(l2 + fround(fround(w * l) * l));
  }
  return { lx, l2 };
}

/** Copies `tried` into `quants`, shifted to be non-negative. */
function setQuants(quants: Uint8Array, half: number): void {
  for (let i = 0; i < quants.length; i++) quants[i] = half + tried[i]!;
}

/** Maximum number of rounds in which `findPositiveScale` improves its quants one by one. */
const MAX_ROUNDS = 5;

/**
 * Scale of x ≈ scale·l for non-negative values (the scales or the minima of a block's parts).
 * @param weights of the squared error of each value.
 * @param quants receives their quants, 0 to `largestQuant`. Those of negative values, which the source does not clamp
 * either, are modulo 256.
 */
export function findPositiveScale(values: Float32Array, weights: Float32Array, quants: Uint8Array, largestQuant: number): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! > largest) largest = values[i]!;
  if (largest < NEGLIGIBLE) {
    quants.fill(0);
    return 0;
  }
  const quantOf = (value: number): number => Math.min(largestQuant, nearestInteger(value));
  let inverse = fround(largestQuant / largest);
  // The first error is computed with the quants as bytes.
  for (let i = 0; i < values.length; i++) quants[i] = nearestInteger(fround(inverse * values[i]!));
  let leastError = scaledError(values, weights, fround(1 / inverse), (i) => quants[i]!);
  for (let step = -4; step <= 4; step++) {
    if (step === 0) continue;
    const candidate = fround(fround(fround(fround(0.1) * step) + largestQuant) / largest);
    const error = scaledError(values, weights, fround(1 / candidate), (i) => quantOf(fround(candidate * values[i]!)));
    if (error < leastError) {
      leastError = error;
      inverse = candidate;
    }
  }
  let lx = 0;
  let l2 = 0;
  for (let i = 0; i < values.length; i++) {
    const l = quantOf(fround(inverse * values[i]!));
    quants[i] = l;
    lx = fround(lx + fround(fround(weights[i]! * values[i]!) * l));
    l2 = fround(l2 + fround(fround(weights[i]! * l) * l));
  }
  for (let round = 0, changed = true; changed && round < MAX_ROUNDS; round++) {
    changed = false;
    for (let i = 0; i < values.length; i++) {
      const wx = fround(weights[i]! * values[i]!);
      const before = quants[i]!;
      let newLx = fround(lx - fround(wx * before));
      let newL2 = fround(l2 - fround(fround(weights[i]! * before) * before));
      if (!(newLx > 0 && newL2 > 0)) continue;
      const l = quantOf(fround(fround(values[i]! * newL2) / newLx));
      if (l === before) continue;
      newLx = fround(newLx + fround(wx * l));
      newL2 = fround(newL2 + fround(fround(weights[i]! * l) * l));
      if (!(fround(fround(newLx * newLx) * l2) > fround(fround(lx * lx) * newL2))) continue;
      quants[i] = l;
      lx = newLx;
      l2 = newL2;
      changed = true;
    }
  }
  return l2 > 0 ? fround(lx / l2) : 0;
}

function scaledError(values: Float32Array, weights: Float32Array, scale: number, quantOf: (index: number) => number): number {
  let error = 0;
  for (let i = 0; i < values.length; i++) {
    const difference = fround(values[i]! - fround(scale * quantOf(i)));
    error = fround(error + fround(fround(weights[i]! * difference) * difference));
  }
  return error;
}
