/**
 * @file A decoder as one ONNX graph with a key/value cache, in the operators that ONNX Runtime has on every platform.
 *
 * Inputs:  input_ids [B, T] · attention_mask [B, P + T] (1 real, 0 padding) · num_logits_to_keep [] (0: all)
 *          past_key_values.{i}.key|value [B, G_i, P, K], of the P tokens before
 * Outputs: logits [B, T or num_logits_to_keep, V] · present.{i}.key|value [B, G_i, P + T, K]
 *
 * Everything is computed in f32. Layout of names and shapes: transformers.js 4.3, `models/modeling_utils.js`.
 */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { addAttention, addFfn, type BlockBuilder, byDocument } from "../../model/decoder-block.ts";
import { addFusedAttention } from "../../model/fused-attention.ts";
import { OnnxGraph, type Value } from "../../model/onnx-graph.ts";
import { DecoderWeights } from "./decoder-weights.ts";
import { addPositions, AXIS_END, type Positions } from "./positions.ts";
import type { OnnxTypeForm } from "./types.ts";
import type { WeightSource } from "./weights.ts";

/** Operators of ONNX 1.16, which ONNX Runtime reads from 1.18 on. */
const VERSION = { opset: 21, ir: 10 };

/** A graph without its weights, and where these come from. */
export interface DecoderGraph {
  /** Needs the weights, by their names, before it is serialized. */
  readonly graph: OnnxGraph;
  readonly sources: readonly WeightSource[];
  /** Number of values of the weights; a tied output head is counted once. */
  readonly parameters: number;
}

/** Builds the graph of a model. Reads no weight. */
export function buildDecoder(checkpoint: Checkpoint, form: OnnxTypeForm): DecoderGraph {
  const { config } = checkpoint;
  const { hiddenSize: D, vocabSize: V, numHiddenLayers } = config;
  const g = new OnnxGraph(VERSION);
  const ids = g.input("input_ids", ["batch_size", "sequence_length"], "i64");
  const mask = g.input("attention_mask", ["batch_size", "total_sequence_length"], "i64");
  const kept = g.input("num_logits_to_keep", [], "i64");
  const batchShape = g.node("Shape", [ids]);
  const positions = addPositions(g, config, ids, mask, batchShape);
  const weights = new DecoderWeights(g, checkpoint, form);

  let x = g.reshape(weights.embed(ids), [-1, D]);
  for (let layer = 0; layer < numHiddenLayers; layer++) {
    const block = weights.block(layer, batchShape);
    x = attentionWithCache(block, x, layer, positions);
    x = addFfn(block, x).stream;
  }

  // −0 is 0: the slice then starts at the first row.
  const first = g.reshape(g.node("Neg", [kept]), [1]);
  const documents = byDocument({ graph: g, batchShape }, x);
  const rows = g.node("Slice", [documents, first, g.integers([AXIS_END]), g.integers([1])]);
  const logits = weights.head(weights.finalNorm(g.reshape(rows, [-1, D])));
  const shape = g.concat([g.node("Shape", [rows], { start: { int: 0 }, end: { int: 2 } }), g.integers([V])], 0);
  g.output("logits", g.node("Reshape", [logits, shape]), ["batch_size", "kept_sequence_length", V]);
  const parameters = weights.sources.reduce((sum, source) => sum + source.parameters, 0);
  return { graph: g, sources: weights.sources, parameters };
}

/** [N, D] → [N, D], the residual stream after the attention. */
function attentionWithCache(block: BlockBuilder, x: Value, layer: number, positions: Positions): Value {
  const { graph: g, shape } = block;
  const { numKeyValueHeads: G, headDim: K } = shape;
  const past = (part: "key" | "value"): Value =>
    g.input(`past_key_values.${layer}.${part}`, ["batch_size", G, "past_sequence_length", K]);
  return addAttention(block, x, (project) => {
    const [attended, keys, values] = addFusedAttention(block, project, {
      ...positions,
      ...positions.rotary[positions.layerTypes[layer]!],
      past: { key: past("key"), value: past("value") },
    }) as [Value, Value, Value];
    const cacheShape = ["batch_size", G, "total_sequence_length", K];
    g.output(`present.${layer}.key`, keys, cacheShape);
    g.output(`present.${layer}.value`, values, cacheShape);
    return attended;
  }).stream;
}
