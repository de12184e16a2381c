/**
 * @file The part of a block's graph that scoring adds: energies (squared norms) from which relevances are made.
 * Formulas: architecture, "Relevance, exactly". Paper: PLND, arXiv 2402.18815, equations 3 to 7.
 */

import type { FitRole } from "./block-fit.ts";
import type { BlockShape } from "./block-shape.ts";
import type { OnnxGraph, Value } from "./onnx-graph.ts";

/**
 * Energies that a block can put out. All are sums over the document's real tokens.
 *
 * - `ffn` [B, F]: of each FFN unit's activation
 * - `ffnSums` [B, F]: no energy, but the sum of each FFN unit's activations
 * - `ffnResidual`, `attentionResidual` [B]: of the residual stream after the sublayer wrote to it
 * - `context` [B, H·K]: of each column of the heads' outputs
 * - `heads` [B, G, R, R]: inner products of the heads' contributions to the sublayer's output, needs input `outputGram`
 * - `valueDims` [B, G, K]: of each value dimension's contribution, its heads together, needs input `outputGram`
 * - `attentionMap` [B]: of the attention probabilities
 * - `rotaryPairs` [B, G, K/2], `queryRows` [B, H, K], `keyRows` [B, G, K]: of the first-order change of the attention probabilities
 * - `blockInfluence` [B]: no sum, but the mean of 1 − cos between what enters the block and what leaves it
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

/** An energy that a block can put out. */
export type EnergyOutput = (typeof ENERGY_OUTPUTS)[number];

/** Energies that need the input `outputGram` [G, R·K, R·K]: WᵀW of o's columns, group by group. */
export const OUTPUT_GRAM_ENERGIES: readonly EnergyOutput[] = ["heads", "valueDims"];

const MAP_CHANGE_ENERGIES: readonly EnergyOutput[] = ["rotaryPairs", "queryRows", "keyRows"];

/**
 * How the change of the attention map is computed: to `first-order` (measured within about 8% of exact, all pairs at the cost of a few
 * attention passes) or `exact`, by one more softmax for each unit.
 */
export type MapChange = "first-order" | "exact";

/** What a block is to put out beside its hidden states. */
export interface BlockRequest {
  /** Energies, for scoring. */
  readonly energies?: readonly EnergyOutput[];
  /** Default: `first-order`. */
  readonly mapChange?: MapChange;
  /** The residual stream after the attention, as output `attentionStream` [B, T, D]: beside the hidden states, or in their place. */
  readonly attentionStream?: "beside" | "only";
  /** The FFN alone: `x` is the residual stream after the attention. Not with what the attention puts out. */
  readonly from?: "attentionStream";
  /** Sums of squares of what each matrix multiplies (see block-inputs.ts), of those that are computed. Not with a fit. */
  readonly inputSquares?: true;
  /** The normal equations of this output matrix, for repair (see block-fit.ts). */
  readonly fit?: FitRole;
}

/** What the energies are built on. */
export interface BlockContext {
  readonly graph: OnnxGraph;
  readonly shape: BlockShape;
  /** Energies asked for. */
  readonly energies: ReadonlySet<EnergyOutput>;
  readonly mapChange: MapChange;
  /** [B, T]: 1 real, 0 padding. */
  readonly tokenMask: Value;
  /** [T, K/2] */
  readonly cos: Value;
  /** [T, K/2] */
  readonly sin: Value;
  /** The sizes B and T, as a shape of two. */
  readonly batchShape: Value;
}

/** The halves of a head that rotate together, rows p and p + K/2: each [B, heads, T, K/2]. */
export interface Halves {
  readonly a: Value;
  readonly b: Value;
}

/** Heads before rotation (but after a query or key norm) and after it. */
export interface RotatedHeads {
  readonly unrotated: Halves;
  readonly rotated: Halves;
}

/** Reshapes to [B, heads, T, last]. */
export function toHeads({ graph: g, batchShape }: BlockContext, value: Value, heads: number, last: number | "T"): Value {
  const [batch, tokens] = g.split(batchShape, 0, 2) as [Value, Value];
  const end = last === "T" ? tokens : g.integers([last]);
  return g.node("Reshape", [value, g.concat([batch, g.integers([heads]), tokens, end], 0)]);
}

/** Puts the attention probabilities of a group's heads below each other: [B, H, T, T] → [B, G, R·T, T]. */
export function groupMaps({ graph: g, shape }: BlockContext, probabilities: Value): Value {
  const tokens = g.node("Shape", [probabilities], { start: { int: 3 }, end: { int: 4 } });
  return g.node("Reshape", [probabilities, g.concat([g.integers([0, shape.numKeyValueHeads, -1]), tokens], 0)]);
}

/** Whether energies are made of the attention maps, so that these must be at hand. */
export function needsMaps({ energies }: BlockContext): boolean {
  return energies.has("attentionMap") || MAP_CHANGE_ENERGIES.some((name) => energies.has(name));
}

/** Adds the energy [B] of a residual stream y [B, T, D]. */
export function addResidualEnergy(context: BlockContext, name: "ffnResidual" | "attentionResidual", y: Value): void {
  const { graph: g, energies, tokenMask } = context;
  if (energies.has(name)) g.output(name, g.sumOfSquares(g.multiply(y, g.reshape(tokenMask, [0, -1, 1])), [1, 2]), ["B"]);
}

/** Under every norm of a hidden state but that of padding, which is 0. */
const SMALLEST_NORM = 1e-12;

/**
 * Adds `blockInfluence`. `x`, `y` [B, T, D]: the residual stream before and behind the block. 1 − cos(x, y) is computed as ½‖x/‖x‖ − y/‖y‖‖², which
 * does not cancel where the two are nearly alike.
 */
export function addBlockInfluence({ graph: g, energies, tokenMask }: BlockContext, x: Value, y: Value): void {
  if (!energies.has("blockInfluence")) return;
  const direction = (state: Value): Value =>
    g.node("Div", [state, g.node("Max", [g.node("Sqrt", [g.sumOfSquares(state, [2], true)]), g.scalar(SMALLEST_NORM)])]);
  const change = g.sumOfSquares(g.subtract(direction(x), direction(y)), [2]);
  const total = g.sum(g.multiply(change, tokenMask), [1]);
  g.output("blockInfluence", g.node("Div", [total, g.multiply(g.sum(tokenMask, [1]), g.scalar(2))]), ["B"]);
}

/** Adds `ffn` and `ffnSums`. `activations` [B·T, F], `tokenScale` [B, T, 1]. */
export function addFfnEnergies(context: BlockContext, activations: Value, tokenScale: Value): void {
  const { graph: g, shape, energies, batchShape } = context;
  if (!energies.has("ffn") && !energies.has("ffnSums")) return;
  const byDocument = g.node("Reshape", [activations, g.concat([batchShape, g.integers([shape.intermediateSize])], 0)]);
  const scaled = g.multiply(byDocument, tokenScale);
  if (energies.has("ffn")) g.output("ffn", g.sumOfSquares(scaled, [1]), ["B", shape.intermediateSize]);
  if (energies.has("ffnSums")) g.output("ffnSums", g.sum(scaled, [1]), ["B", shape.intermediateSize]);
}

/** Adds `context`, `heads` and `valueDims`. `headOutputs` [B·T, H·K], `tokenScale` [B, T, 1]. */
export function addHeadEnergies(context: BlockContext, headOutputs: Value, tokenScale: Value): void {
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
    // Only column pairs with the same dimension in both heads: a product with the identity over (K, K).
    const identity = g.node("EyeLike", [g.node("ConstantOfShape", [g.integers([K, K])])]);
    g.output("valueDims", g.sum(g.multiply(byHead, g.reshape(identity, [K, 1, K])), [2, 4, 5]), ["B", G, K]);
  }
}

/**
 * Adds `attentionMap`, `rotaryPairs`, `queryRows` and `keyRows`.
 *
 * Taking a term u[t, s] out of the scores changes the probabilities, to first order, by −P ∘ (u − Σ_s P u). With
 * u = α(t)·k_a(s) + β(t)·k_b(s), its squared norm over s expands into sums over s of P² and P times products of k_a and k_b,
 * and those are matrix products.
 * @param scores masked, before the softmax, [B, H, T, T]
 * @param probabilities [B, H, T, T]; `grouped` is the same as [B, G, R·T, T]
 * @param query unscaled; `queryScaled` is its rotated part times the attention scale
 */
export function addMapEnergies(
  context: BlockContext,
  scores: Value,
  probabilities: Value,
  grouped: Value,
  query: RotatedHeads,
  queryScaled: Halves,
  key: RotatedHeads,
): void {
  const { graph: g, energies, shape, cos, sin } = context;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K, attentionScale } = shape;
  const tokenRows = g.reshape(context.tokenMask, [0, 1, -1, 1]); // [B, 1, T, 1]
  if (energies.has("attentionMap")) {
    g.output("attentionMap", g.sumOfSquares(g.multiply(probabilities, tokenRows), [1, 2, 3]), ["B"]);
  }
  if (!MAP_CHANGE_ENERGIES.some((name) => energies.has(name))) return;

  const squared = g.multiply(grouped, grouped);
  const maps: AttentionMaps = { scores, probabilities, grouped, squared, squaredSum: g.sum(squared, [3], true), tokenRows };
  const change = MAP_CHANGES[context.mapChange];
  const ofKey = change(context, maps, key.rotated);
  const overGroup = (perHead: Value): Value => g.sum(g.reshape(perHead, [0, G, H / G, K / 2]), [2]);
  if (energies.has("rotaryPairs")) g.output("rotaryPairs", overGroup(ofKey(queryScaled)), ["B", G, K / 2]);

  // A single row before rotation is in both halves after it: row a as (cos, sin), row b as (−sin, cos).
  const rowA = (row: Value): Halves => ({ a: g.multiply(row, cos), b: g.multiply(row, sin) });
  const rowB = (row: Value): Halves => ({ a: g.node("Neg", [g.multiply(row, sin)]), b: g.multiply(row, cos) });
  if (energies.has("queryRows")) {
    const scale = g.scalar(attentionScale);
    const a = ofKey(rowA(g.multiply(query.unrotated.a, scale)));
    const b = ofKey(rowB(g.multiply(query.unrotated.b, scale)));
    g.output("queryRows", g.concat([a, b], 2), ["B", H, K]);
  }
  if (energies.has("keyRows")) {
    const a = overGroup(change(context, maps, rowA(key.unrotated.a))(queryScaled));
    const b = overGroup(change(context, maps, rowB(key.unrotated.b))(queryScaled));
    g.output("keyRows", g.concat([a, b], 2), ["B", G, K]);
  }
}

/** A block's attention, as the changes of it need it. */
interface AttentionMaps {
  /** Masked, before the softmax, [B, H, T, T]. */
  readonly scores: Value;
  /** P, [B, H, T, T] */
  readonly probabilities: Value;
  /** P, [B, G, R·T, T] */
  readonly grouped: Value;
  /** P², [B, G, R·T, T] */
  readonly squared: Value;
  /** Sums of P² over s, [B, G, R·T, 1]. */
  readonly squaredSum: Value;
  /** [B, 1, T, 1]: 1 real, 0 padding. */
  readonly tokenRows: Value;
}

/**
 * For keys (k_a, k_b), halves [B, G, T, K/2], a function of the queries (α, β), halves [B, H, T, K/2]: the energy [B, H, K/2] of the
 * change that taking u = α k_a + β k_b out of the scores makes, for each head and pair.
 */
type MapChangeEnergy = (context: BlockContext, maps: AttentionMaps, key: Halves) => (query: Halves) => Value;

const MAP_CHANGES: Readonly<Record<MapChange, MapChangeEnergy>> = { "first-order": firstOrderChange, exact: exactChange };

/** Σ P² u² − 2 ū Σ P² u + ū² Σ P², with ū = Σ P u; all sums over s. */
function firstOrderChange(context: BlockContext, maps: AttentionMaps, key: Halves): (query: Halves) => Value {
  const { graph: g, shape } = context;
  const pairs = shape.headDim / 2;
  const products = [g.multiply(key.a, key.a), g.multiply(key.a, key.b), g.multiply(key.b, key.b), key.a, key.b];
  const sums = g.split(g.matmul(maps.squared, g.concat(products, 3)), 3, 5);
  const [aa, ab, bb, a, b] = sums as [Value, Value, Value, Value, Value];
  const [meanA, meanB] = g.split(g.matmul(maps.grouped, g.concat([key.a, key.b], 3)), 3, 2) as [Value, Value];
  const twice = (x: Value): Value => g.multiply(x, g.scalar(2));
  return (query) => {
    const alpha = g.reshape(query.a, [0, shape.numKeyValueHeads, -1, pairs]);
    const beta = g.reshape(query.b, [0, shape.numKeyValueHeads, -1, pairs]);
    const combine = (x: Value, y: Value): Value => g.add(g.multiply(alpha, x), g.multiply(beta, y));
    const squares = g.add(g.multiply(g.multiply(alpha, alpha), aa), g.multiply(g.multiply(beta, beta), bb));
    const square = g.add(squares, twice(g.multiply(g.multiply(alpha, beta), ab)));
    const mean = combine(meanA, meanB);
    const cross = twice(g.multiply(mean, combine(a, b)));
    const total = g.add(g.subtract(square, cross), g.multiply(g.multiply(mean, mean), maps.squaredSum));
    // Cancellation can leave a tiny negative number where the energy is zero.
    const perToken = toHeads(context, g.node("Relu", [total]), shape.numAttentionHeads, pairs);
    return g.sum(g.multiply(perToken, maps.tokenRows), [2]);
  };
}

/** ‖softmax(S − u) − softmax(S)‖², one pair after the other: memory stays at a few attention maps. */
function exactChange(context: BlockContext, maps: AttentionMaps, key: Halves): (query: Halves) => Value {
  const { graph: g, shape } = context;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = shape;
  return (query) => {
    const perPair = Array.from({ length: K / 2 }, (_, pair) => {
      const column = (x: Value): Value => g.node("Slice", [x, g.integers([pair]), g.integers([pair + 1]), g.integers([3])]);
      const alphaBeta = g.reshape(g.concat([column(query.a), column(query.b)], 3), [0, G, -1, 2]);
      const keys = g.transpose(g.concat([column(key.a), column(key.b)], 3), [0, 1, 3, 2]);
      const without = g.subtract(maps.scores, toHeads(context, g.matmul(alphaBeta, keys), H, "T"));
      const change = g.subtract(g.softmax(without), maps.probabilities);
      return g.sumOfSquares(g.multiply(change, maps.tokenRows), [2, 3], true);
    });
    return g.reshape(g.concat(perPair, 3), [0, H, K / 2]);
  };
}
