/**
 * @file The tensors of a decoder block by kind: which are matrices, which are norms, and which belong together.
 */

import type { BlockRole } from "../families/families.ts";

/** A weight matrix of a block, [out, in]. */
export type MatrixRole = "q" | "k" | "v" | "o" | "gate" | "up" | "down";

/** An RMS norm of a block: [D], `qNorm` and `kNorm` [K]. */
export type NormRole = "attentionNorm" | "qNorm" | "kNorm" | "postAttentionNorm" | "ffnNorm" | "postFfnNorm";

/** The matrix that writes a sublayer's output: `o` [D, H·K] or `down` [D, F]. Repair can fit it. */
export type OutputRole = "o" | "down";

/** The bias that is added to a matrix' product, for blocks that have one. */
export const BIAS_ROLES: Readonly<Partial<Record<MatrixRole, BlockRole>>> = { q: "qBias", k: "kBias", v: "vBias", o: "oBias" };

/** The norm after an output matrix, before the residual sum, for blocks that have one. */
export const POST_NORMS = { o: "postAttentionNorm", down: "postFfnNorm" } as const;

const NORM_ROLES: Readonly<Record<NormRole, true>> = {
  attentionNorm: true,
  qNorm: true,
  kNorm: true,
  postAttentionNorm: true,
  ffnNorm: true,
  postFfnNorm: true,
};

/** Whether a tensor is the weight of a norm, to which a family may add an offset. */
export function isNormRole(role: BlockRole): role is NormRole {
  return role in NORM_ROLES;
}
