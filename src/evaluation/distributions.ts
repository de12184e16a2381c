/**
 * @file Tail probabilities of Student's t and of the fair coin: statistic → p-value or quantile. Sources: Abramowitz &
 * Stegun 26.7.1 and 26.5.8; the continued fraction is evaluated by Lentz's method (Numerical Recipes, 3rd ed., 6.4).
 */

/**
 * Terms of the continued fraction; it converges in about the square root of the degrees of freedom, ten thousand items
 * in 100.
 */
const MAX_TERMS = 10_000;
const PRECISION = 1e-14;
/** Replaces a zero divisor in Lentz's method. */
const TINY = 1e-300;
const BISECTIONS = 100;
/** Above every quantile that is requested: t of 97.5% with one degree of freedom is 12.7. */
const HIGHEST_T = 1000;

/** P(|T| ≥ |t|) for Student's t with `degrees` > 0 degrees of freedom. */
export function studentTwoSided(t: number, degrees: number): number {
  if (!Number.isFinite(t)) return 0;
  return incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5);
}

/** The t that |T| exceeds with probability `twoSided`, for `degrees` > 0 degrees of freedom. */
export function studentQuantile(twoSided: number, degrees: number): number {
  let [low, high] = [0, HIGHEST_T];
  for (let step = 0; step < BISECTIONS; step++) {
    const middle = (low + high) / 2;
    if (studentTwoSided(middle, degrees) > twoSided) low = middle;
    else high = middle;
  }
  return high;
}

/**
 * Two-sided probability that a fair coin falls at least as unevenly as `heads` to `tails`; 1 if it was never thrown.
 */
export function fairCoinTwoSided(heads: number, tails: number): number {
  const throws = heads + tails;
  let logTerm = -throws * Math.LN2;
  let tail = 0;
  for (let k = 0; k <= Math.min(heads, tails); k++) {
    tail += Math.exp(logTerm);
    logTerm += Math.log((throws - k) / (k + 1));
  }
  return Math.min(1, 2 * tail);
}

/** The regularised incomplete beta function I_x(a, b). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(x, a, b)) / a : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

function betaFraction(x: number, a: number, b: number): number {
  const away = (value: number): number => (Math.abs(value) < TINY ? TINY : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let result = d;
  for (let m = 1; m <= MAX_TERMS; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    result *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    result *= d * c;
    if (Math.abs(d * c - 1) < PRECISION) break;
  }
  return result;
}

/** ln Γ(x) for x > 0: Stirling's series, evaluated where its first six terms are exact in f64. */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  for (; z < 15; z++) shift += Math.log(z);
  const inverse = 1 / (z * z);
  const series =
    1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse * (1 / 1188 - (inverse * 691) / 360_360))));
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series / z - shift;
}
