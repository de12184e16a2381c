/**
 * @file Attention with its maps as values of the graph, for energies that are computed from them and for devices
 * without the fused operator.
 */

import type { BlockContext } from "./block-context.ts";
import type { Project } from "./decoder-block.ts";
import type { Value } from "./onnx-graph.ts";

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

/** A block's attention. */
export interface MappedAttention {
  /** Not scaled. */
  readonly query: RotatedHeads;
  /** The rotated query times the attention scale. */
  readonly scaledQuery: Halves;
  readonly key: RotatedHeads;
  /** Masked, before the softmax, [B, H, T, T]. */
  readonly scores: Value;
  /** P, [B, H, T, T] */
  readonly probabilities: Value;
  /** P, [B, G, R·T, T] */
  readonly grouped: Value;
  /** The heads' outputs, [B, T, H, K]. */
  readonly attended: Value;
}

/** Adds rotation and attention. */
export function addMappedAttention(context: BlockContext, project: Project): MappedAttention {
  const { graph: g, shape } = context;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K, attentionScale } = shape;
  const query = rotatedHeads(context, project("q"), H);
  const key = rotatedHeads(context, project("k"), G);
  const v = splitHeads(context, project("v"), G);
  const scale = g.scalar(attentionScale);
  const scaledQuery: Halves = { a: g.multiply(query.rotated.a, scale), b: g.multiply(query.rotated.b, scale) };

  // Heads h = g·R + r of a group share k and v: [B, H, T, n] is [B, G, R·T, n] in memory.
  const groupedQueries = g.reshape(g.concat([scaledQuery.a, scaledQuery.b], 3), [0, G, -1, K]);
  const keys = g.concat([key.rotated.a, key.rotated.b], 3);
  const products = toHeads(context, g.matmul(groupedQueries, g.transpose(keys, [0, 1, 3, 2])), H, "T");
  const scores = g.add(products, attentionMask(context));
  const probabilities = g.softmax(scores);
  const grouped = groupMaps(context, probabilities);
  const attended = g.transpose(toHeads(context, g.matmul(grouped, v), H, K), [0, 2, 1, 3]);
  return { query, scaledQuery, key, scores, probabilities, grouped, attended };
}

/** Reshapes to [B, heads, T, last]. */
export function toHeads({ graph: g, batchShape }: BlockContext, value: Value, heads: number, last: number | "T"): Value {
  const [batch, tokens] = g.split(batchShape, 0, 2) as [Value, Value];
  const end = last === "T" ? tokens : g.integers([last]);
  return g.node("Reshape", [value, g.concat([batch, g.integers([heads]), tokens, end], 0)]);
}

/** Stacks the attention probabilities of a group's heads: [B, H, T, T] → [B, G, R·T, T]. */
function groupMaps({ graph: g, shape }: BlockContext, probabilities: Value): Value {
  const tokens = g.node("Shape", [probabilities], { start: { int: 3 }, end: { int: 4 } });
  return g.node("Reshape", [probabilities, g.concat([g.integers([0, shape.numKeyValueHeads, -1]), tokens], 0)]);
}

/** [T, T]: 0 where token t attends to token s, that is to itself and to those before it in its window; −∞ elsewhere. */
function attentionMask({ graph: g, shape, batchShape }: BlockContext): Value {
  const { slidingWindow } = shape;
  const [, tokens] = g.split(batchShape, 0, 2) as [Value, Value];
  const positions = g.node("Range", [g.integer(0), g.node("Squeeze", [tokens]), g.integer(1)]);
  const distance = g.subtract(g.node("Unsqueeze", [positions, g.integers([1])]), positions);
  const isPast = g.node("GreaterOrEqual", [distance, g.integer(0)]);
  const isSeen = slidingWindow === null ? isPast : g.node("And", [isPast, g.node("Less", [distance, g.integer(slidingWindow)])]);
  return g.node("Where", [isSeen, g.scalar(0), g.scalar(Number.NEGATIVE_INFINITY)]);
}

/** Rotates projected heads: [N, heads·K] → halves [B, heads, T, K/2]. */
function rotatedHeads(context: BlockContext, rows: Value, heads: number): RotatedHeads {
  const { graph: g, cos, sin } = context;
  const [a, b] = g.split(splitHeads(context, rows, heads), 3, 2) as [Value, Value];
  const rotated: Halves = {
    a: g.subtract(g.multiply(a, cos), g.multiply(b, sin)),
    b: g.add(g.multiply(b, cos), g.multiply(a, sin)),
  };
  return { unrotated: { a, b }, rotated };
}

/** [N, heads·K] → [B, heads, T, K]. */
function splitHeads({ graph: g, shape, batchShape }: BlockContext, rows: Value, heads: number): Value {
  const byToken = g.node("Reshape", [rows, g.concat([batchShape, g.integers([heads, shape.headDim])], 0)]);
  return g.transpose(byToken, [0, 2, 1, 3]);
}
