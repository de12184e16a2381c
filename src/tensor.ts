/**
 * @file Dtypes, and conversion between the bytes of a checkpoint and f32.
 *
 * Shape legend, used in every comment of cusprun:
 *
 *     N documents   B documents in a batch   T tokens (of a document or of a batch's longest)
 *     D hidden size   F intermediate size   V vocabulary size   L layers
 *     H query heads   G key/value heads (KV groups)   R = H / G query heads per group   K head dimension
 *
 * Weight matrices have Hugging Face's orientation, [out, in], row-major: y = x · Wᵀ.
 */

/** Dtypes that safetensors checkpoints hold and that cusprun writes. */
export type FloatDType = "F32" | "F16" | "BF16";

/** Bytes per element. */
export const FLOAT_DTYPE_BYTES: Readonly<Record<FloatDType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Number of elements of a shape; 1 for a scalar `[]`. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
