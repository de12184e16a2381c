/** @file Requests of a block's graph: contradictory ones do not compile, and each determines its outputs. */

import { expect, test } from "vitest";
import { type BlockRequest, streamOutputs, WHOLE_BLOCK } from "../../src/model/block-request.ts";

test("a contradictory request has no type", () => {
  const energies = { outputs: ["ffn"], mapChange: "first-order" } as const;
  const contradictory: readonly BlockRequest[] = [
    // @ts-expect-error the attention's output matrix cannot be fitted on the stream after the attention
    { part: "fit", matrix: "o", from: "attentionStream" },
    // @ts-expect-error a fit has no hidden states to output
    { part: "fit", matrix: "down", from: "block", attentionStream: true },
    // @ts-expect-error a fit does not sum its inputs' squares
    { part: "fit", matrix: "down", from: "block", inputSquares: true },
    // @ts-expect-error energies need both sublayers
    { part: "ffn", energies },
    // @ts-expect-error energies that change maps need to know how
    { part: "block", energies: { outputs: ["rotaryPairs"] } },
  ];
  expect(contradictory).toHaveLength(5);
});

test("streams that a request outputs", () => {
  expect(streamOutputs(WHOLE_BLOCK)).toEqual(["y"]);
  expect(streamOutputs({ part: "block", attentionStream: true })).toEqual(["y", "attentionStream"]);
  expect(streamOutputs({ part: "attention" })).toEqual(["attentionStream"]);
  expect(streamOutputs({ part: "ffn" })).toEqual(["y"]);
  expect(streamOutputs({ part: "fit", matrix: "o", from: "block" })).toEqual([]);
});
