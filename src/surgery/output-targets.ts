/**
 * @file What an output matrix is fitted to, in a repair and in a trial cut alike.
 */

import { BIAS_ROLES, type OutputRole, POST_NORMS } from "../families/roles.ts";
import type { BlockWeights } from "../model/layer-program.ts";
import type { Matrix } from "./products.ts";

/** The streams of a batch around a sublayer, [B, T, D]: of the pruned model before it, of the dense one around it. */
export interface BatchStreams {
  readonly pruned: Matrix;
  readonly before: Matrix;
  readonly after: Matrix;
}

/**
 * What an output matrix is to add to the stream: all that brings the pruned stream to the dense one after the sublayer.
 * With a post norm it is the dense sublayer's contribution alone, without the error of earlier layers: where the norm's
 * weight is small, correcting that would take large weights, whose share in the norm's denominator shrinks all others
 * (docs/LOG.md). A bias adds its part in any case.
 * @param weights of the pruned block.
 * @param into receives the targets, [B, T, D], and is returned.
 */
export function writeTargets(
  weights: BlockWeights,
  role: OutputRole,
  { pruned, before, after }: BatchStreams,
  into: Matrix,
): Matrix {
  const from = weights.has(POST_NORMS[role]) ? before : pruned;
  for (let index = 0; index < into.length; index++) into[index] = after[index]! - from[index]!;
  const biasRole = BIAS_ROLES[role];
  const bias = biasRole && (weights.get(biasRole)?.data as Matrix | undefined);
  if (bias !== undefined)
    for (let index = 0; index < into.length; index++) into[index] = into[index]! - bias[index % bias.length]!;
  return into;
}
