/**
 * @file The part of a block's graph that scoring adds: energies (squared norms), from which relevances are computed.
 * Energies of the attention maps are in map-energies.ts.
 * Formulas: docs/architecture.md, "Relevance". Paper: PLND, arXiv 2402.18815, equations 3 to 7.
 */

import type { BlockContext } from "./block-context.ts";
import type { Value } from "./onnx-graph.ts";

/**
 * Energies that a block can output. All are sums over the document's real tokens.
 *
 * - `ffn` [B, F]: of each FFN unit's activation
 * - `ffnSums` [B, F]: not an energy, but the sum of each FFN unit's activations
 * - `ffnResidual`, `attentionResidual` [B]: of the residual stream after the sublayer has written to it
 * - `context` [B, H·K]: of each column of the heads' outputs
 * - `heads` [B, G, R, R]: inner products of the heads' contributions to the sublayer's output; needs the input
 *   `outputGram`
 * - `valueDims` [B, G, K]: of each value dimension's contribution, its heads together; needs the input `outputGram`
 * - `attentionMap` [B]: of the attention probabilities
 * - `rotaryPairs` [B, G, K/2], `queryRows` [B, H, K], `keyRows` [B, G, K]: of the change of the attention probabilities
 * - `blockInfluence` [B]: not a sum, but the mean of 1 − cos between the block's input and its output
 */
export const ENERGY_OUTPUTS = [
  "ffn",
  "ffnSums",
  "ffnResidual",
  "attentionResidual",
  "context",
  "heads",
  "valueDims",
  "attentionMap",
  "rotaryPairs",
  "queryRows",
  "keyRows",
  "blockInfluence",
] as const;

/** An energy that a block can output. */
export type EnergyOutput = (typeof ENERGY_OUTPUTS)[number];

/** Energies that need the input `outputGram` [G, R·K, R·K]: WᵀW of o's columns, group by group. */
export const OUTPUT_GRAM_ENERGIES: readonly EnergyOutput[] = ["heads", "valueDims"];

/**
 * How the change of the attention map is computed: to `first-order` (measured within about 8% of exact, all pairs at
 * the cost of a few attention passes) or `exact`, by one more softmax for each unit.
 */
export type MapChange = "first-order" | "exact";

/** What energies are computed from. */
export interface EnergyContext extends BlockContext {
  /** The requested energies. */
  readonly energies: ReadonlySet<EnergyOutput>;
  readonly mapChange: MapChange;
}

/** Adds the energy [B] of a residual stream y [B, T, D]. */
export function addResidualEnergy(context: EnergyContext, name: "ffnResidual" | "attentionResidual", y: Value): void {
  const { graph: g, energies, tokenMask } = context;
  if (energies.has(name)) g.output(name, g.sumOfSquares(g.multiply(y, g.reshape(tokenMask, [0, -1, 1])), [1, 2]), ["B"]);
}

/** Less than the norm of any hidden state, except that of padding, which is 0. */
const SMALLEST_NORM = 1e-12;

/**
 * Adds `blockInfluence`. `x`, `y` [B, T, D]: the residual stream before and after the block. 1 − cos(x, y) is computed
 * as ½‖x/‖x‖ − y/‖y‖‖², which does not cancel if the two are nearly equal.
 */
export function addBlockInfluence({ graph: g, energies, tokenMask }: EnergyContext, x: Value, y: Value): void {
  if (!energies.has("blockInfluence")) return;
  const direction = (state: Value): Value =>
    g.node("Div", [state, g.node("Max", [g.node("Sqrt", [g.sumOfSquares(state, [2], true)]), g.scalar(SMALLEST_NORM)])]);
  const change = g.sumOfSquares(g.subtract(direction(x), direction(y)), [2]);
  const total = g.sum(g.multiply(change, tokenMask), [1]);
  g.output("blockInfluence", g.node("Div", [total, g.multiply(g.sum(tokenMask, [1]), g.scalar(2))]), ["B"]);
}

/** Adds `ffn` and `ffnSums`. `activations` [B·T, F], `tokenScale` [B, T, 1]. */
export function addFfnEnergies(context: EnergyContext, activations: Value, tokenScale: Value): void {
  const { graph: g, shape, energies, batchShape } = context;
  if (!energies.has("ffn") && !energies.has("ffnSums")) return;
  const byDocument = g.node("Reshape", [activations, g.concat([batchShape, g.integers([shape.intermediateSize])], 0)]);
  const scaled = g.multiply(byDocument, tokenScale);
  if (energies.has("ffn")) g.output("ffn", g.sumOfSquares(scaled, [1]), ["B", shape.intermediateSize]);
  if (energies.has("ffnSums")) g.output("ffnSums", g.sum(scaled, [1]), ["B", shape.intermediateSize]);
}

/** Adds `context`, `heads` and `valueDims`. `headOutputs` [B·T, H·K], `tokenScale` [B, T, 1]. */
export function addHeadEnergies(context: EnergyContext, headOutputs: Value, tokenScale: Value): void {
  const { graph: g, energies, batchShape } = context;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = context.shape;
  const R = H / G;
  const byDocument = g.node("Reshape", [headOutputs, g.concat([batchShape, g.integers([H * K])], 0)]);
  const scaled = g.multiply(byDocument, tokenScale);
  if (energies.has("context")) g.output("context", g.sumOfSquares(scaled, [1]), ["B", H * K]);
  if (!OUTPUT_GRAM_ENERGIES.some((name) => energies.has(name))) return;
  // ⟨x_i W_i, x_j W_j⟩ of any two columns i, j of a group is (XᵀX ∘ WᵀW)[i, j].
  const outputGram = g.input("outputGram", [G, R * K, R * K]);
  const columns = g.transpose(g.reshape(scaled, [0, 0, G, R * K]), [0, 2, 3, 1]); // [B, G, R·K, T]
  const gram = g.multiply(g.matmul(columns, g.transpose(columns, [0, 1, 3, 2])), outputGram);
  const byHead = g.reshape(gram, [0, G, R, K, R, K]);
  if (energies.has("heads")) g.output("heads", g.sum(byHead, [3, 5]), ["B", G, R, R]);
  if (energies.has("valueDims")) {
    // Only column pairs with the same dimension in both heads: multiply by the identity over (K, K).
    const identity = g.node("EyeLike", [g.node("ConstantOfShape", [g.integers([K, K])])]);
    g.output("valueDims", g.sum(g.multiply(byHead, g.reshape(identity, [K, 1, K])), [2, 4, 5]), ["B", G, K]);
  }
}
