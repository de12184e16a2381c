/**
 * @file Attention in one operator of ONNX Runtime, which never holds the maps of all heads and skips the keys after
 * each query. Source: `com.microsoft.GroupQueryAttention` and `com.microsoft.RotaryEmbedding`, `ContribOperators.md` of
 * microsoft/onnxruntime.
 */

import { byDocument, type BlockBuilder, type Project } from "./decoder-block.ts";
import type { Value } from "./onnx-graph.ts";

/** The positions of a batch, as the operators take them. */
export interface FusedAttentionInputs {
  /** i64, rows of `cos` and `sin`: [B, T], one per token; or [1], the row of every document's first token. */
  readonly rotaryRows: Value;
  /** [positions, K/2] */
  readonly cos: Value;
  /** [positions, K/2] */
  readonly sin: Value;
  /** i32 [B]: index of the last key of each document. */
  readonly lastKeys: Value;
  /** i32 []: number of keys, P + T with P cached ones. */
  readonly keyCount: Value;
  /** Keys and values of the P tokens before, [B, G, P, K]; null without a cache. */
  readonly past: { readonly key: Value; readonly value: Value } | null;
  /** Added to the scores, [B, 1, T, P + T]; null to add nothing. */
  readonly bias: Value | null;
}

/**
 * Adds rotation and attention.
 * @returns the heads' outputs [B, T, H·K]; with a cache also the keys and values of all tokens, [B, G, P + T, K] each.
 */
export function addFusedAttention(
  block: BlockBuilder,
  project: Project,
  { rotaryRows, cos, sin, lastKeys, keyCount, past, bias }: FusedAttentionInputs,
): readonly Value[] {
  const { graph: g, shape } = block;
  const rotated = (role: "q" | "k"): Value => g.node("RotaryEmbedding", [byDocument(block, project(role)), rotaryRows, cos, sin]);
  const inputs = [
    rotated("q"),
    rotated("k"),
    byDocument(block, project("v")),
    past?.key ?? null,
    past?.value ?? null,
    lastKeys,
    keyCount,
    // The three before the bias are rotary tables and positions, which rotated inputs do not need.
    ...(bias === null ? [] : [null, null, null, bias]),
  ];
  return g.nodes("GroupQueryAttention", inputs, past === null ? 1 : 3, {
    num_heads: { int: shape.numAttentionHeads },
    kv_num_heads: { int: shape.numKeyValueHeads },
    scale: { float: shape.attentionScale },
    ...(shape.slidingWindow !== null && { local_window_size: { int: shape.slidingWindow } }),
  });
}
