/** @file The content of serialized graphs. */

import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { expect, test } from "vitest";
import type { TinyFamily } from "../support/tiny-families.ts";
import { buildBlockGraph } from "../../src/model/block-graph.ts";
import { WHOLE_BLOCK } from "../../src/model/block-request.ts";
import type { BlockShape } from "../../src/model/block-shape.ts";
import { LayerProgram } from "../../src/model/layer-program.ts";
import { OnnxGraph } from "../../src/model/onnx-graph.ts";
import { tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

test("has no node or constant that no output depends on", () => {
  const graph = new OnnxGraph();
  const x = graph.input("x", ["N"]);
  graph.multiply(graph.add(x, graph.scalar(2)), graph.scalar(3));
  graph.output("y", graph.subtract(x, graph.scalar(4)), ["N"]);
  const parts = fromBinary(ModelProtoSchema, graph.serialize()).graph!;
  expect(parts.node.map(({ opType }) => opType)).toEqual(["Sub", "Identity"]);
  expect(parts.initializer).toHaveLength(1);
});

test.each(["llama", "gemma3"] as const)(
  "%s: the input of down is multiplied by down only if a norm after it needs the product",
  async (family) => {
    const shape = await shapeOf(family);
    const request = { part: "inner", matrix: "down", from: "block" } as const;
    const nodes = fromBinary(ModelProtoSchema, buildBlockGraph(shape, request)).graph!.node;
    const readsDown = nodes.some(({ input }) => input.includes("down"));
    expect(readsDown).toBe(family === "gemma3");
  },
);

async function shapeOf(family: TinyFamily): Promise<BlockShape> {
  const program = new LayerProgram(tinyCheckpoint(tinyModel(family)), [], WHOLE_BLOCK);
  const { shape } = await program.readWeights(0);
  await program.close();
  return shape;
}
