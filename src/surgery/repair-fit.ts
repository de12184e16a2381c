/**
 * @file Fits one matrix again: ridge regression towards its current weights, with the strength chosen on documents that
 * were not fitted on.
 *
 *     W' = (G + λD)⁻¹ (C + λD·W)     G = AᵀA, C = AᵀY, D = diag(G)
 *
 * Source: docs/architecture.md, "Repair"; Hoerl & Kennard 1970 for ridge. Towards W and not towards 0, so that
 * directions that do not occur in the documents keep their weights.
 */

import type { Feed } from "../model/sessions.ts";
import { solvePositiveDefinite } from "./linear-solve.ts";
import type { Products } from "./products.ts";

/** Strengths that can be chosen, as shares of each input's own energy, ascending. */
export const RIDGE_STRENGTHS: readonly number[] = [0.1, 0.3, 1, 3, 10];

/** Where the search begins: the strength chosen for most matrices of real models (docs/LOG.md). */
const FIRST_STRENGTH = RIDGE_STRENGTHS.indexOf(1);

/**
 * Added to the diagonal, as a share of the mean energy: an input that is always 0 must not make the system singular.
 */
const DEAD_INPUT_SHARE = 1e-6;

/** Sums over tokens from which a matrix is fitted. Row-major; n inputs, D outputs. */
export class NormalEquations {
  readonly width: number;
  readonly outputs: number;
  /** AᵀA, [n, n]: its lower triangle; zeros above. */
  readonly gram: Float64Array<ArrayBuffer>;
  /** AᵀY, [n, D]. */
  readonly cross: Float64Array<ArrayBuffer>;
  /** Σ Y² by output, [D]. */
  readonly targetEnergy: Float64Array<ArrayBuffer>;

  /** @param room returns an array of the given size; it is then filled with zeros. */
  constructor(
    width: number,
    outputs: number,
    room = (_name: string, size: number): Float64Array<ArrayBuffer> => new Float64Array(size),
  ) {
    this.width = width;
    this.outputs = outputs;
    this.gram = room("gram", width * width).fill(0);
    this.cross = room("cross", width * outputs).fill(0);
    this.targetEnergy = new Float64Array(outputs);
  }

  /** Adds a batch's sums, or other equations of the same size. Sums over many batches are kept in f64. */
  add(sums: {
    readonly gram: ArrayLike<number>;
    readonly cross: ArrayLike<number>;
    readonly targetEnergy: ArrayLike<number>;
  }): void {
    const { width: n, gram } = this;
    for (let row = 0; row < n; row++)
      for (let index = row * n; index <= row * n + row; index++) gram[index] = gram[index]! + sums.gram[index]!;
    addInto(this.cross, sums.cross);
    addInto(this.targetEnergy, sums.targetEnergy);
  }
}

/** The result of fitting one matrix. */
export interface Fit {
  /** [n, D] */
  readonly weights: Float64Array<ArrayBuffer>;
  /** λ, or null if no strength was better than not repairing. */
  readonly strength: number | null;
  /** Squared error on the held-back documents, before and after. */
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/**
 * Fits a matrix on training documents, chooses the strength on held-back ones and fits again on both.
 * @param training the held-back sums are added to it if a fit is better.
 * @param kept the weights after the cut, [n, D]: the result if no fit is better on the held-back documents.
 */
export async function fitMatrix(
  products: Products,
  training: NormalEquations,
  heldBack: NormalEquations,
  kept: Float64Array<ArrayBuffer>,
): Promise<Fit> {
  const errorBefore = await squaredError(products, heldBack, kept);
  const errorOf = async (strength: number): Promise<number> => {
    const weights = await ridge(products, training, kept, strength, products.room("tried", kept.length));
    return weights === null ? Number.POSITIVE_INFINITY : squaredError(products, heldBack, weights);
  };
  const best = await searchStrength(errorOf);
  const unchanged = { weights: kept, strength: null, errorBefore, errorAfter: errorBefore };
  if (!(best.error < errorBefore)) return unchanged;
  training.add(heldBack);
  const weights = await ridge(products, training, kept, best.strength, new Float64Array(kept.length));
  return weights === null ? unchanged : { weights, strength: best.strength, errorBefore, errorAfter: best.error };
}

/** Searches downhill from the first strength, to weaker ridges or else to stronger ones: each solve is expensive. */
async function searchStrength(
  errorOf: (strength: number) => Promise<number>,
): Promise<{ readonly strength: number; readonly error: number }> {
  const first = RIDGE_STRENGTHS[FIRST_STRENGTH]!;
  let best = { strength: first, error: await errorOf(first) };
  for (const direction of [-1, 1]) {
    const start = best.strength;
    for (let at = FIRST_STRENGTH + direction; at in RIDGE_STRENGTHS; at += direction) {
      const strength = RIDGE_STRENGTHS[at]!;
      const error = await errorOf(strength);
      if (error >= best.error) break;
      best = { strength, error };
    }
    if (best.strength !== start) break;
  }
  return best;
}

/**
 * (G + λD)⁻¹ (C + λD·W), [n, D], or null if that system cannot be solved.
 * @param kept W, [n, D].
 * @param strength λ.
 * @param into receives the result.
 */
export async function ridge(
  products: Products,
  { width: n, outputs: D, gram, cross }: NormalEquations,
  kept: Float64Array<ArrayBuffer>,
  strength: number,
  into: Float64Array<ArrayBuffer>,
): Promise<Float64Array<ArrayBuffer> | null> {
  let trace = 0;
  for (let i = 0; i < n; i++) trace += gram[i * n + i]!;
  const weights = Float64Array.from({ length: n }, (_, i) => strength * gram[i * n + i]! + (DEAD_INPUT_SHARE * trace) / n);
  for (let i = 0; i < n; i++) {
    const weight = weights[i]!;
    for (let index = i * D; index < (i + 1) * D; index++) into[index] = cross[index]! + weight * kept[index]!;
  }
  return solvePositiveDefinite(products, gram, weights, into, n);
}

/**
 * Squared error of weights [n, D] on the documents of these equations: Σ_d (wᵀGw − 2wᵀc + Σy²), with wᵀGw as twice that
 * of G's lower triangle minus that of its diagonal.
 */
async function squaredError(
  products: Products,
  { width: n, outputs: D, gram, cross, targetEnergy }: NormalEquations,
  weights: Float64Array<ArrayBuffer>,
): Promise<number> {
  const product = await products.run("plain", gram, weights, n, n, D, products.room("error", n * D));
  let error = targetEnergy.reduce((sum, energy) => sum + energy, 0);
  for (let i = 0; i < n; i++) {
    const energy = gram[i * n + i]!;
    for (let index = i * D; index < (i + 1) * D; index++) {
      const weight = weights[index]!;
      error += weight * (2 * product[index]! - energy * weight - 2 * cross[index]!);
    }
  }
  return error;
}

function addInto(target: Float64Array, values: ArrayLike<number>): void {
  for (let index = 0; index < target.length; index++) target[index] = target[index]! + values[index]!;
}

/**
 * The weights by which an output matrix' inputs are added to the residual stream, as they are fitted: [D, n] → [n, D].
 * @param postNorm weights [D] of the norm after it, as they are applied, if there is one.
 */
export function towardsStream({ data, shape }: Feed, postNorm: Feed | undefined): Float64Array<ArrayBuffer> {
  const [D, n] = shape as [number, number];
  const weights = transpose(data as Float32Array, D, n);
  const scales = postNorm?.data as Float32Array | undefined;
  return scales === undefined ? weights : weights.map((weight, index) => weight * scales[index % D]!);
}

/** The matrix of fitted weights: the inverse of `towardsStream`. Rows whose norm weight is 0 are those of `kept`. */
export function fromStream(weights: Float64Array, kept: Feed, postNorm: Feed | undefined): Feed {
  const [D, n] = kept.shape as [number, number];
  const data = Float32Array.from(transpose(weights, n, D));
  const scales = postNorm?.data as Float32Array | undefined;
  if (scales === undefined) return { data, shape: kept.shape };
  const unscaled = data.map((value, index) => {
    const scale = scales[Math.floor(index / n)]!;
    return scale === 0 ? (kept.data[index] as number) : value / scale;
  });
  return { data: unscaled, shape: kept.shape };
}

/** [rows, columns] → [columns, rows], in f64. */
export function transpose(values: Float32Array | Float64Array, rows: number, columns: number): Float64Array<ArrayBuffer> {
  const result = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!;
  }
  return result;
}
