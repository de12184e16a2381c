/**
 * @file Dtypes and shapes of tensors.
 *
 * Shape legend, used in all comments of cusprun:
 *
 *     N documents   B documents in a batch   T tokens (of a document, or of the longest in a batch)
 *     D hidden size   F intermediate size   V vocabulary size   L layers
 *     H query heads   G key/value heads (KV groups)   R = H / G query heads per group   K head dimension
 *
 * Weight matrices have the orientation of Hugging Face, [out, in], row-major: y = x · Wᵀ.
 */

/** Floating-point dtypes of safetensors checkpoints that cusprun reads and writes. */
export type FloatDType = "F32" | "F16" | "BF16";

/** Bytes per element. */
export const FLOAT_DTYPE_BYTES: Readonly<Record<FloatDType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Number of elements of a shape; 1 for a scalar `[]`. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
