/**
 * @file The tensors of a decoder by their function. Everything that reads, computes, cuts or writes tensors knows them
 * by role; a family says which roles it has and what it calls them.
 *
 * Sizes: D hiddenSize, F intermediateSize, H query heads, G KV groups, K headDim, V vocabSize. Matrices are [out, in].
 */

/** Tensors of a decoder block. */
export type BlockRole =
  | "attentionNorm" // [D], on the attention's input; absent if a family normalises only the sublayers' outputs
  | "q" // [H·K, D]
  | "k" // [G·K, D]
  | "v" // [G·K, D]
  | "o" // [D, H·K]
  | "qBias" // [H·K]
  | "kBias" // [G·K]
  | "vBias" // [G·K]
  | "oBias" // [D]
  | "qNorm" // [K], over each head after projection, before rotation
  | "kNorm" // [K]
  | "postAttentionNorm" // [D], on the attention's output before it joins the residual stream
  | "ffnNorm" // [D], on the FFN's input; may be absent, as attentionNorm
  | "gate" // [F, D]
  | "up" // [F, D]
  | "down" // [D, F]
  | "postFfnNorm"; // [D], on the FFN's output before it joins the residual stream

/** Tensors outside the blocks. */
export type ModelRole = "embedding" /* [V, D] */ | "finalNorm" /* [D] */ | "outputHead"; /* [V, D], absent if tied */

/** A weight matrix of a block, [out, in]. */
export type MatrixRole = "q" | "k" | "v" | "o" | "gate" | "up" | "down";

/** An RMS norm of a block: [D], `qNorm` and `kNorm` [K]. */
export type NormRole = "attentionNorm" | "qNorm" | "kNorm" | "postAttentionNorm" | "ffnNorm" | "postFfnNorm";

/** The matrix that writes a sublayer's output: `o` [D, H·K] or `down` [D, F]. Repair can fit it. */
export type OutputRole = "o" | "down";

/** The bias that is added to a matrix's product, in blocks that have one. */
export const BIAS_ROLES: Readonly<Partial<Record<MatrixRole, BlockRole>>> = { q: "qBias", k: "kBias", v: "vBias", o: "oBias" };

/** The norm after an output matrix, before the residual sum, in blocks that have one. */
export const POST_NORMS = { o: "postAttentionNorm", down: "postFfnNorm" } as const;

/** Which part of a block a tensor belongs to. */
export type BlockPart = "attention" | "ffn" | "norms";

/** Properties of a role in every family. */
interface RoleProperties {
  readonly part: BlockPart;
  /** A norm's weight, which is applied as `normOffset + weight`. */
  readonly isNorm?: true;
  /** Rows are rotated by position: GGUF may store each head's rotary halves interleaved. */
  readonly isRotated?: true;
}

const BLOCK_ROLES: Readonly<Record<BlockRole, RoleProperties>> = {
  attentionNorm: { part: "norms", isNorm: true },
  q: { part: "attention", isRotated: true },
  k: { part: "attention", isRotated: true },
  v: { part: "attention" },
  o: { part: "attention" },
  qBias: { part: "attention", isRotated: true },
  kBias: { part: "attention", isRotated: true },
  vBias: { part: "attention" },
  oBias: { part: "attention" },
  qNorm: { part: "attention", isNorm: true },
  kNorm: { part: "attention", isNorm: true },
  postAttentionNorm: { part: "norms", isNorm: true },
  ffnNorm: { part: "norms", isNorm: true },
  gate: { part: "ffn" },
  up: { part: "ffn" },
  down: { part: "ffn" },
  postFfnNorm: { part: "norms", isNorm: true },
};

/** The part of a block that a role belongs to. */
export function partOfRole(role: BlockRole): BlockPart {
  return BLOCK_ROLES[role].part;
}

/** Whether a tensor is a norm's weight, which is applied as `normOffset + weight`. */
export function isNormRole(role: BlockRole | ModelRole): role is NormRole | "finalNorm" {
  return role === "finalNorm" || (isBlockRole(role) && BLOCK_ROLES[role].isNorm === true);
}

/** Whether a tensor's rows are rotated by position. */
export function isRotatedRole(role: BlockRole | ModelRole): boolean {
  return isBlockRole(role) && BLOCK_ROLES[role].isRotated === true;
}

function isBlockRole(role: BlockRole | ModelRole): role is BlockRole {
  return Object.hasOwn(BLOCK_ROLES, role);
}
