/**
 * @file The positions of a batch in an exported decoder: what every layer's attention reads of the mask and the cache,
 * computed once. Positions count the real tokens of the mask, so that padding may be on either side.
 */

import type { LayerType, ModelConfig } from "../../checkpoint/config/model-config.ts";
import type { OnnxGraph, Value } from "../../model/onnx-graph.ts";
import { inverseFrequencies } from "../../model/rope.ts";

/** Added to the scores of padding: far below any score, but finite: rows that see only padding must not become NaN. */
const HIDDEN_SCORE = -1e30;
/** End of a slice: the end of the axis. */
export const AXIS_END: number = Number.MAX_SAFE_INTEGER;

/** Cosines and sines of the tokens of a batch, [N, K/2] each. */
export interface RotaryRows {
  readonly cos: Value;
  readonly sin: Value;
}

/** Inputs of the attention that all layers share. */
export interface Positions {
  /** i32 [B]: P + T − 1 for every document; the bias hides padding. */
  readonly lastKeys: Value;
  /** i32 []: P + T. */
  readonly keyCount: Value;
  /** [B, 1, T, P + T] */
  readonly bias: Value;
  /** i64 [B, T], rows of the tables below. */
  readonly rotaryRows: Value;
  readonly rotary: Readonly<Record<LayerType, RotaryRows>>;
  /** Which of the tables a layer uses. */
  readonly layerTypes: readonly LayerType[];
}

/**
 * Adds the positions.
 * @param ids i64 [B, T]. @param mask i64 [B, P + T]. @param batchShape the sizes B and T.
 */
export function addPositions(g: OnnxGraph, config: ModelConfig, ids: Value, mask: Value, batchShape: Value): Positions {
  const { rope, layerTypes } = config;
  const [batch, tokens] = g.split(batchShape, 0, 2) as [Value, Value];
  const keys = g.node("Shape", [mask], { start: { int: 1 } });
  const last = g.subtract(keys, g.integers([1]));
  const counted = g.subtract(g.node("CumSum", [mask, g.integer(1)]), g.integers([1]));
  const own = g.node("Slice", [counted, g.node("Neg", [tokens]), g.integers([AXIS_END]), g.integers([1])]);
  const position = g.cast(g.reshape(g.node("Max", [own, g.integers([0])]), [-1, 1]), "f32");
  const rowCount = g.node("Size", [ids]);
  const rows = g.node("Range", [g.integer(0), rowCount, g.integer(1)]);
  const hidden = g.multiply(g.cast(g.subtract(g.integers([1]), mask), "f32"), g.scalar(HIDDEN_SCORE));
  const biasShape = g.concat([batch, g.integers([1]), tokens, keys], 0);
  const full = addRotary(g, config, position, "full_attention");
  const differs = rope.full_attention !== rope.sliding_attention && layerTypes.includes("sliding_attention");
  return {
    lastKeys: g.cast(g.node("Expand", [last, batch]), "i32"),
    keyCount: g.cast(g.reshape(keys, []), "i32"),
    bias: g.node("Expand", [g.node("Unsqueeze", [hidden, g.integers([1, 2])]), biasShape]),
    rotaryRows: g.node("Reshape", [rows, batchShape]),
    rotary: {
      full_attention: full,
      sliding_attention: differs ? addRotary(g, config, position, "sliding_attention") : full,
    },
    layerTypes,
  };
}

/** Tables of the tokens of the batch, [N, K/2]: those of every position would be as large as a small model. */
function addRotary(g: OnnxGraph, { rope, headDim }: ModelConfig, position: Value, type: LayerType): RotaryRows {
  const frequencies = g.floats([...inverseFrequencies(rope[type], headDim)], [1, headDim / 2]);
  const angles = g.multiply(position, frequencies);
  return { cos: g.node("Cos", [angles]), sin: g.node("Sin", [angles]) };
}
