/** @file Log-likelihoods against transformers' losses of tiny models, in one group and in many. */

import { describe, expect, test } from "vitest";
import { groupRequests, shareInputs, sumLogLikelihoods } from "../../src/evaluation/likelihoods.ts";
import { TINY_MODELS, openTinyGoldens } from "../support/forward-goldens.ts";

/** Both sides compute in f32, in another order of operations (see tests/model/forward.test.ts). */
const TOLERANCE = 2e-5;

describe("log-likelihoods", () => {
  test.each(TINY_MODELS)("of %s' last tokens equal transformers'", async (name) => {
    const { checkpoint, documents, golden, close } = await openTinyGoldens(name);
    const counts = [1, 4, 11];
    const requests = documents.flatMap(({ tokens }) =>
      counts.map((count) => ({ input: tokens.slice(0, -1), targets: tokens.slice(tokens.length - count) })),
    );
    const expected: number[] = [];
    for (const index of documents.keys()) {
      const losses = await golden(`${index}.losses`);
      for (const count of counts) expected.push(-losses.slice(-count).reduce((sum, loss) => sum + loss, 0));
    }
    const inOne = await sumLogLikelihoods(checkpoint, requests, "test", {});
    // Every request is a group of its own.
    const inMany = await sumLogLikelihoods(checkpoint, requests, "test", {}, 1);
    await close();
    for (const [index, value] of expected.entries()) {
      expect(Math.abs(inOne[index]! / value - 1)).toBeLessThan(TOLERANCE);
      expect(Math.abs(inMany[index]! / value - 1)).toBeLessThan(TOLERANCE);
    }
  });

  test("of several groups are reported as one stage", async () => {
    const { checkpoint, documents, close } = await openTinyGoldens("llama");
    const requests = documents.map(({ tokens }) => ({ input: tokens.slice(0, -1), targets: tokens.slice(-1) }));
    const shares: number[] = [];
    const onProgress = ({ done, total }: { done: number; total: number | null }) => shares.push(done / total!);
    await sumLogLikelihoods(checkpoint, requests, "test", { onProgress }, 1);
    await close();
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares.at(-1)).toBe(1);
  });
});

describe("requests", () => {
  const request = (input: readonly number[], targets: number) => ({
    input: Int32Array.from(input),
    targets: new Int32Array(targets),
  });

  test("with equal inputs share one", () => {
    const requests = [request([1, 2], 1), request([5, 6, 7, 8], 2), request([1, 2], 2), request([9], 1)];
    const { inputs, askedOf } = shareInputs(requests);
    expect(inputs.map((input) => [...input])).toEqual([[1, 2], [5, 6, 7, 8], [9]]);
    expect(askedOf).toEqual([[0, 2], [1], [3]]);
  });

  test("pass the head in groups of a limited number of targets, unless one alone has more", () => {
    const requests = [2, 1, 5, 1, 1, 1].map((targets) => request([1, 2, 3, 4, 5], targets));
    const asked = requests.map((_, index) => ({ request: index, batch: 0, end: 5 }));
    const groups = groupRequests(asked, requests, 3);
    expect(groups.map((group) => group.map((each) => each.request))).toEqual([[0, 1], [2], [3, 4, 5]]);
  });
});
