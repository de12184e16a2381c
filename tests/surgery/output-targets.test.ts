/** @file What an output matrix is fitted to: with it, the pruned sublayer gives the dense stream. */

import { expect, test } from "vitest";
import type { Feed } from "../../src/model/sessions.ts";
import type { BlockRole } from "../../src/families/roles.ts";
import { writeTargets } from "../../src/surgery/output-targets.ts";

const vector = (...values: number[]): Feed => ({ data: Float32Array.from(values), shape: [values.length] });
const streams = { pruned: Float32Array.of(1, 2, 3, 4), before: Float32Array.of(5, 5, 5, 5), after: Float32Array.of(9, 8, 7, 6) };

test.each<[string, [BlockRole, Feed][], number[]]>([
  // after − pruned
  ["without a norm behind", [], [8, 6, 4, 2]],
  // after − pruned − bias, token by token of two values
  ["with a bias, which adds its part itself", [["oBias", vector(1, 10)]], [7, -4, 3, -8]],
  // after − before
  ["with a norm behind", [["postAttentionNorm", vector(1, 1)]], [4, 3, 2, 1]],
])("%s", (_, weights, expected) => {
  expect([...writeTargets(new Map(weights), "o", streams, new Float32Array(4))]).toEqual(expected);
});
