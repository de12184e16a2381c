/** @file The parts of a block's graph that measurements are added to, in addition to its hidden states. */

import type { BlockShape } from "./block-shape.ts";
import type { OnnxGraph, Value } from "./onnx-graph.ts";

/** A block's graph and the inputs that every measurement reads. */
export interface BlockContext {
  readonly graph: OnnxGraph;
  readonly shape: BlockShape;
  /** [B, T]: 1 real, 0 padding. */
  readonly tokenMask: Value;
  /** [T, K/2] */
  readonly cos: Value;
  /** [T, K/2] */
  readonly sin: Value;
  /** The sizes B and T, as a shape of two. */
  readonly batchShape: Value;
}
