/** @file What values a stored type can hold, checked before they are narrowed. */

import { CusprunError } from "../errors.ts";

/** Largest finite value of binary16, which is also how quantised blocks hold their scales and minima. */
export const MAX_F16 = 65_504;

/** How a tensor is stored, for the check and its message. */
export interface StoredAs {
  /** The tensor's name. */
  readonly name: string;
  /** Whether its values, or its blocks' scales, are binary16; otherwise they have the range of f32. */
  readonly isFloat16: boolean;
  /** The type as the message names it. */
  readonly typeName: string;
  /** What helps where a value is out of range. */
  readonly remedy: string;
}

/** @throws CusprunError `OUTPUT_DTYPE` for a value that the type cannot hold. */
export function checkStoredRange(values: Float32Array, { name, isFloat16, typeName, remedy }: StoredAs): void {
  const largest = isFloat16 ? MAX_F16 : Number.MAX_VALUE;
  for (const value of values) {
    if (Math.abs(value) <= largest) continue;
    const isRange = Number.isFinite(value);
    throw new CusprunError("OUTPUT_DTYPE", {
      where: `tensor '${name}'`,
      found: `the value ${value}`,
      expected: isRange ? `values within ±${MAX_F16}, the range of ${typeName}` : "finite values",
      remedy: isRange ? remedy : "The model is damaged; download or make it again",
    });
  }
}
