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
import { CholeskyFactor } from "./linear-solve.ts";
import type { NormalEquations } from "./normal-equations.ts";
import type { Matrix, Products } from "./products.ts";
import type { Projection } from "./projection.ts";

/** Strengths that can be chosen, as shares of each input's own energy, ascending. */
export const RIDGE_STRENGTHS: readonly number[] = [0.1, 0.3, 1, 3, 10];

/** The strength that is chosen for most matrices of real models (docs/LOG.md): where a search begins. */
export const USUAL_STRENGTH = 1;

/**
 * Added to the diagonal, as a share of the mean energy: an input that is always 0 must not make the system singular.
 */
const DEAD_INPUT_SHARE = 1e-6;

/** The result of fitting one matrix. */
export interface Fit {
  /** [n, D] */
  readonly weights: Matrix;
  /** λ, or null if no strength was better than not repairing. */
  readonly strength: number | null;
  /** Squared error on the held-back documents, before and after, in the projection of the outputs. */
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/** The system of one strength. */
interface Ridge {
  /** λD with the share of dead inputs, [n]. */
  readonly diagonal: Float64Array;
  readonly factor: CholeskyFactor;
}

/**
 * Fits a matrix on training documents, chooses the strength on held-back ones and fits again on both.
 * @param training the held-back sums are added to it if a fit is better.
 * @param kept the weights after the cut, [n, D]: the result if no fit is better on the held-back documents.
 * @param firstStrength where the search begins: best a likely one, such as that of the layer before.
 */
export async function fitMatrix(
  products: Products,
  training: NormalEquations,
  heldBack: NormalEquations,
  projection: Projection,
  kept: Matrix,
  firstStrength: number,
): Promise<Fit> {
  const search = await StrengthSearch.begin(products, training, heldBack, projection, kept);
  const { errorBefore } = search;
  const best = await search.run(firstStrength);
  const unchanged = { weights: kept, strength: null, errorBefore, errorAfter: errorBefore };
  if (!(best.error < errorBefore)) return unchanged;
  training.addAll(heldBack);
  const weights = await fitRidge(products, training, kept, best.strength);
  return weights === null ? unchanged : { weights, strength: best.strength, errorBefore, errorAfter: best.error };
}

/**
 * (G + λD)⁻¹ (C + λD·W), [n, D], in a new array; null if that system cannot be solved.
 * @param kept W, [n, D].
 * @param strength λ.
 */
export async function fitRidge(
  products: Products,
  equations: NormalEquations,
  kept: Matrix,
  strength: number,
): Promise<Matrix | null> {
  const ridge = await ridgeOf(products, equations, strength);
  if (ridge === null) return null;
  const { outputs } = equations;
  return ridge.factor.solve(rightSide(ridge, equations.cross, kept, outputs, new Float32Array(kept.length)), outputs);
}

async function ridgeOf(products: Products, { gram }: NormalEquations, strength: number): Promise<Ridge | null> {
  const energies = gram.diagonal();
  const dead = (DEAD_INPUT_SHARE * energies.reduce((sum, energy) => sum + energy, 0)) / energies.length;
  const diagonal = energies.map((energy) => strength * energy + dead);
  const factor = await CholeskyFactor.of(products, gram, diagonal);
  return factor === null ? null : { diagonal, factor };
}

/** C + diagonal·W, [n, m]. */
function rightSide({ diagonal }: Ridge, cross: Matrix, kept: Matrix, m: number, into: Matrix): Matrix {
  for (const [row, weight] of diagonal.entries())
    for (let index = row * m; index < (row + 1) * m; index++) into[index] = cross[index]! + weight * kept[index]!;
  return into;
}

/** Compares strengths by the error on held-back documents, in the projection of the outputs. */
class StrengthSearch {
  readonly errorBefore: number;
  readonly #products: Products;
  readonly #training: NormalEquations;
  readonly #heldBack: NormalEquations;
  /** m */
  readonly #columns: number;
  /** Projected, [n, m]: C of both sums, and W. */
  readonly #trainingCross: Matrix;
  readonly #heldBackCross: Matrix;
  readonly #kept: Matrix;

  private constructor(
    products: Products,
    [training, heldBack]: readonly [NormalEquations, NormalEquations],
    columns: number,
    [trainingCross, heldBackCross, kept]: readonly [Matrix, Matrix, Matrix],
    errorBefore: number,
  ) {
    this.#products = products;
    this.#training = training;
    this.#heldBack = heldBack;
    this.#columns = columns;
    this.#trainingCross = trainingCross;
    this.#heldBackCross = heldBackCross;
    this.#kept = kept;
    this.errorBefore = errorBefore;
  }

  static async begin(
    products: Products,
    training: NormalEquations,
    heldBack: NormalEquations,
    projection: Projection,
    kept: Matrix,
  ): Promise<StrengthSearch> {
    const n = training.width;
    const projected = [
      await projection.project(products, training.cross, n, "projected cross of training"),
      await projection.project(products, heldBack.cross, n, "projected cross of held back"),
      await projection.project(products, kept, n, "projected weights"),
    ] as const;
    const { error } = await errorOf(products, heldBack, projected[1], projected[2], projection.projected);
    return new StrengthSearch(products, [training, heldBack], projection.projected, projected, error);
  }

  /**
   * Searches downhill from the first strength, in the direction of the error's slope there: each strength costs a
   * factorization.
   */
  async run(firstStrength: number): Promise<{ readonly strength: number; readonly error: number }> {
    const first = RIDGE_STRENGTHS.indexOf(firstStrength);
    const { error, slope } = await this.#try(firstStrength);
    let best = { strength: firstStrength, error };
    const direction = slope > 0 ? -1 : 1;
    for (let at = first + direction; at in RIDGE_STRENGTHS; at += direction) {
      const strength = RIDGE_STRENGTHS[at]!;
      const tried = await this.#try(strength);
      if (tried.error >= best.error) break;
      best = { strength, error: tried.error };
    }
    return best;
  }

  /** The held-back error of a strength, and its derivative by it. A system that cannot be solved is too weak. */
  async #try(strength: number): Promise<{ readonly error: number; readonly slope: number }> {
    const products = this.#products;
    const [n, m] = [this.#training.width, this.#columns];
    const ridge = await ridgeOf(products, this.#training, strength);
    if (ridge === null) return { error: Number.POSITIVE_INFINITY, slope: Number.NEGATIVE_INFINITY };
    const right = rightSide(ridge, this.#trainingCross, this.#kept, m, products.room("tried", n * m));
    const weights = await ridge.factor.solve(right, m);
    const { error, gradient } = await errorOf(products, this.#heldBack, this.#heldBackCross, weights, m);
    // (G + λD)·W' = C + λD·W, so that dW'/dλ = (G + λD)⁻¹ D·(W − W').
    const change = products.room("change", n * m);
    for (const [row, weight] of ridge.diagonal.entries())
      for (let index = row * m; index < (row + 1) * m; index++)
        change[index] = (weight / strength) * (this.#kept[index]! - weights[index]!);
    await ridge.factor.solve(change, m);
    let slope = 0;
    for (let index = 0; index < change.length; index++) slope += 2 * gradient[index]! * change[index]!;
    return { error, slope };
  }
}

/**
 * Squared error of weights [n, m] on the documents of these equations, Σ_d (wᵀGw − 2wᵀc + Σy²), and half its gradient
 * G·w − c [n, m], valid until the next call.
 * @param cross C projected, [n, m].
 */
async function errorOf(
  products: Products,
  { gram, targetEnergy }: NormalEquations,
  cross: Matrix,
  weights: Matrix,
  m: number,
): Promise<{ readonly error: number; readonly gradient: Matrix }> {
  const gradient = await gram.times(products, weights, m, products.room("gradient", weights.length));
  let error = targetEnergy;
  for (let index = 0; index < weights.length; index++) {
    gradient[index] = gradient[index]! - cross[index]!;
    error += weights[index]! * (gradient[index]! - cross[index]!);
  }
  return { error, gradient };
}

/**
 * The weights by which an output matrix' inputs are added to the residual stream, as they are fitted: [D, n] → [n, D].
 * @param postNorm weights [D] of the norm after it, as they are applied, if there is one.
 */
export function towardsStream({ data, shape }: Feed, postNorm: Feed | undefined): Matrix {
  const [D, n] = shape as [number, number];
  const weights = transpose(data as Matrix, D, n);
  const scales = postNorm?.data as Float32Array | undefined;
  return scales === undefined ? weights : weights.map((weight, index) => weight * scales[index % D]!);
}

/** The matrix of fitted weights: the inverse of `towardsStream`. Rows whose norm weight is 0 are those of `kept`. */
export function fromStream(weights: Matrix, kept: Feed, postNorm: Feed | undefined): Feed {
  const [D, n] = kept.shape as [number, number];
  const data = transpose(weights, n, D);
  const scales = postNorm?.data as Float32Array | undefined;
  if (scales === undefined) return { data, shape: kept.shape };
  const unscaled = data.map((value, index) => {
    const scale = scales[Math.floor(index / n)]!;
    return scale === 0 ? (kept.data[index] as number) : value / scale;
  });
  return { data: unscaled, shape: kept.shape };
}

/** Rows and columns of a tile: both sides of its transposition stay in the processor's cache. */
const TILE = 32;

/** [rows, columns] → [columns, rows]. */
function transpose(values: Matrix, rows: number, columns: number): Matrix {
  const result = new Float32Array(values.length);
  for (let top = 0; top < rows; top += TILE) {
    for (let left = 0; left < columns; left += TILE) {
      for (let row = top; row < Math.min(rows, top + TILE); row++)
        for (let column = left; column < Math.min(columns, left + TILE); column++)
          result[column * rows + row] = values[row * columns + column]!;
    }
  }
  return result;
}
