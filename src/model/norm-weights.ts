/** @file The weights of norms: stored as `weight`, applied as `normOffset + weight`. */

/** Norm weights as they are applied. @param offset the family's `normOffset`. */
export function withOffset(weights: Float32Array<ArrayBuffer>, offset: number): Float32Array<ArrayBuffer> {
  return offset === 0 ? weights : weights.map((weight) => weight + offset);
}
