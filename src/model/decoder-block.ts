/**
 * @file The arithmetic of a decoder block, shared by the graphs that cusprun runs (block-graph.ts) and the decoder that
 * it exports (export/onnx/decoder.ts). Where weights come from and how attention is computed is left to the caller.
 *
 *     attention  y = x + norm(attend(q, k, v)·Woᵀ)              with q, k, v = norm(x)·Wᵀ, q and k normed head by head
 *     FFN        y = x + norm((act(h·Wgateᵀ) ∘ h·Wupᵀ)·Wdownᵀ)  with h = norm(x)
 *
 * Every norm is optional: one that is not among the block's roles is not applied. That covers norms before the
 * sublayers, after them, or both.
 */

import { BIAS_ROLES, type BlockRole, type MatrixRole, type NormRole, type OutputRole, POST_NORMS } from "../families/roles.ts";
import { addActivation } from "./activation.ts";
import type { BlockShape } from "./block-shape.ts";
import type { OnnxGraph, Value } from "./onnx-graph.ts";

/** A graph under construction and the weights of one block in it. Rows are the N = B·T tokens of a batch. */
export interface BlockBuilder {
  readonly graph: OnnxGraph;
  readonly shape: BlockShape;
  /** The sizes B and T, as an i64 shape of two. */
  readonly batchShape: Value;
  /** x · Wᵀ + bias: [N, in] → [N, out]. The bias is that of `biasOf`. */
  linear(x: Value, role: MatrixRole): Value;
  /** RMSNorm over the last axis, any shape. */
  norm(x: Value, role: NormRole): Value;
}

/** The values of a sublayer, from the residual stream before it to the one after it. */
export interface Sublayer {
  /** Input of q, k and v, or of gate and up: the residual stream, normed if the block has a norm there. [N, D] */
  readonly input: Value;
  /** Input of the output matrix: the heads' outputs [N, H·K], or the FFN's activations [N, F]. */
  readonly inner: Value;
  /** Product of the output matrix, before the post norm. [N, D] */
  readonly output: Value;
  /** The residual stream after the sublayer. [N, D] */
  readonly stream: Value;
}

/** Computes a projection of the attention's input, [N, heads·K]: q and k after their norm, before rotation. */
export type Project = (role: "q" | "k" | "v") => Value;

/** The role of a matrix' bias, or null if the block has none. */
export function biasOf({ roles }: BlockShape, role: MatrixRole): BlockRole | null {
  const bias = BIAS_ROLES[role];
  return bias !== undefined && roles.includes(bias) ? bias : null;
}

/**
 * Adds the attention sublayer.
 * @param x the residual stream, [N, D].
 * @param attend the attention itself: [B, T, H·K], or with H and K as axes of their own.
 */
export function addAttention(block: BlockBuilder, x: Value, attend: (project: Project) => Value): Sublayer {
  const { numAttentionHeads: H, headDim: K } = block.shape;
  const input = optionalNorm(block, x, "attentionNorm");
  const attended = attend((role) => projectHeads(block, input, role));
  const inner = block.graph.reshape(attended, [-1, H * K]);
  return { input, inner, ...addOutput(block, x, inner, "o") };
}

/** Adds the FFN sublayer. @param x the residual stream, [N, D]. */
export function addFfn(block: BlockBuilder, x: Value): Sublayer {
  const { graph: g, shape } = block;
  const input = optionalNorm(block, x, "ffnNorm");
  const gate = addActivation(g, block.linear(input, "gate"), shape.hiddenActivation);
  const inner = g.multiply(gate, block.linear(input, "up"));
  return { input, inner, ...addOutput(block, x, inner, "down") };
}

/** Splits rows into documents: [N, n] → [B, T, n]. */
export function byDocument({ graph: g, batchShape }: Pick<BlockBuilder, "graph" | "batchShape">, rows: Value): Value {
  return g.node("Reshape", [rows, g.concat([batchShape, g.integers([-1])], 0)]);
}

/**
 * Adds the end of a sublayer, from what its output matrix multiplies to the residual stream after it.
 * @param x the residual stream before the sublayer, [N, D].
 * @param inner [N, n]
 */
export function addOutput(block: BlockBuilder, x: Value, inner: Value, role: OutputRole): Pick<Sublayer, "output" | "stream"> {
  const output = block.linear(inner, role);
  return { output, stream: block.graph.add(x, optionalNorm(block, output, POST_NORMS[role])) };
}

function projectHeads(block: BlockBuilder, input: Value, role: "q" | "k" | "v"): Value {
  const { graph: g, shape } = block;
  const rows = block.linear(input, role);
  if (role === "v" || !shape.roles.includes(`${role}Norm`)) return rows;
  const heads = role === "q" ? shape.numAttentionHeads : shape.numKeyValueHeads;
  const normed = block.norm(g.reshape(rows, [-1, heads, shape.headDim]), `${role}Norm`);
  return g.reshape(normed, [-1, heads * shape.headDim]);
}

function optionalNorm(block: BlockBuilder, x: Value, role: NormRole): Value {
  return block.shape.roles.includes(role) ? block.norm(x, role) : x;
}
