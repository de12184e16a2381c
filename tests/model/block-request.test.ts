/** @file Requests of a block's graph: contradictory ones do not compile, and each determines its outputs. */

import { expect, test } from "vitest";
import { type BlockRequest, streamOutputs, WHOLE_BLOCK } from "../../src/model/block-request.ts";

test("a contradictory request has no type", () => {
  const energies = { outputs: ["ffn"], mapChange: "first-order" } as const;
  const contradictory: readonly BlockRequest[] = [
    // @ts-expect-error the input of the attention's output matrix needs no other sublayer
    { part: "inner", matrix: "o", from: "block" },
    // @ts-expect-error a sublayer up to its output matrix has no stream to output
    { part: "inner", matrix: "down", from: "sublayer", attentionStream: true },
    // @ts-expect-error the input of the output matrix is given, not summed
    { part: "output", matrix: "down", inputSquares: true },
    // @ts-expect-error energies need both sublayers
    { part: "attention", energies },
    // @ts-expect-error energies that change maps need to know how
    { part: "block", energies: { outputs: ["rotaryPairs"] } },
  ];
  expect(contradictory).toHaveLength(5);
});

test("streams that a request outputs", () => {
  expect(streamOutputs(WHOLE_BLOCK)).toEqual(["y"]);
  expect(streamOutputs({ part: "block", attentionStream: true })).toEqual(["y", "attentionStream"]);
  expect(streamOutputs({ part: "attention" })).toEqual(["attentionStream"]);
  expect(streamOutputs({ part: "output", matrix: "o" })).toEqual(["y"]);
  expect(streamOutputs({ part: "inner", matrix: "o", from: "sublayer" })).toEqual([]);
  expect(streamOutputs({ part: "inner", matrix: "down", from: "block" })).toEqual(["attentionStream"]);
});
