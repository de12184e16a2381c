/** @file The activation of an FFN's gate, as nodes of a graph. */

import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { OnnxGraph, Value } from "./onnx-graph.ts";

/** Adds the activation of x, of any shape. */
export function addActivation(graph: OnnxGraph, x: Value, kind: ModelConfig["hiddenActivation"]): Value {
  switch (kind) {
    case "silu":
      return graph.multiply(x, graph.node("Sigmoid", [x]));
    case "gelu_pytorch_tanh":
      return graph.gelu(x);
    default:
      throw kind satisfies never;
  }
}
