/** @file Checks that values are in the range of their storage type, before they are narrowed. */

import { CusprunError } from "../errors.ts";

/** Largest finite value of binary16, in which quantised blocks also store their scales and minima. */
export const MAX_F16 = 65_504;

/** The storage type of a tensor, for the check and its message. */
export interface StoredAs {
  /** The tensor's name. */
  readonly name: string;
  /** Whether its values, or the scales of its blocks, are binary16; otherwise they have the range of f32. */
  readonly isFloat16: boolean;
  /** The name of the type in the message. */
  readonly typeName: string;
  /** The remedy for a value out of range. */
  readonly remedy: string;
}

/** @throws CusprunError `OUTPUT_DTYPE` for a value that the type cannot represent. */
export function checkStoredRange(values: Float32Array, { name, isFloat16, typeName, remedy }: StoredAs): void {
  const largest = isFloat16 ? MAX_F16 : Number.MAX_VALUE;
  for (const value of values) {
    if (Math.abs(value) <= largest) continue;
    const isRange = Number.isFinite(value);
    throw new CusprunError("OUTPUT_DTYPE", {
      where: `tensor '${name}'`,
      found: `the value ${value}`,
      expected: isRange ? `values within ±${MAX_F16}, the range of ${typeName}` : "finite values",
      remedy: isRange ? remedy : "The model is damaged; download or create it again",
    });
  }
}
