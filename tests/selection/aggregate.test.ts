import { describe, expect, it } from "vitest";
import { aggregateRelevance, parseAggregate } from "../../src/selection/aggregate.ts";

/** [N = 3, U = 2]. */
const relevance = Float32Array.of(3, 1, 4, 2, 100, 100);

describe("aggregateRelevance", () => {
  it("mean is the root mean square over the chosen documents", () => {
    expect([...aggregateRelevance(relevance, null, [0, 1], 2, { kind: "mean" })]).toEqual([Math.sqrt(12.5), Math.sqrt(2.5)]);
  });
  it("max", () => {
    expect([...aggregateRelevance(relevance, null, [0, 1], 2, { kind: "max" })]).toEqual([4, 2]);
  });
  it("quantile interpolates between documents, as numpy.quantile([3, 4], 0.25) = 3.25", () => {
    expect([...aggregateRelevance(relevance, null, [0, 1], 2, { kind: "quantile", quantile: 0.25 })]).toEqual([3.25, 1.25]);
  });
  it("takes shares of each document's own norm, and 0 if that norm is 0", () => {
    expect([...aggregateRelevance(relevance, Float32Array.of(1, 2, 0), [0, 1, 2], 2, { kind: "max" })]).toEqual([3, 1]);
  });
});

describe("parseAggregate", () => {
  it("reads quantile:0.9", () => expect(parseAggregate("quantile:0.9")).toEqual({ kind: "quantile", quantile: 0.9 }));
  it.each(["median", "quantile:", "quantile:1.5", "quantile:-1"])("refuses %s", (text) => {
    expect(() => parseAggregate(text)).toThrowError(
      expect.objectContaining({ code: "SELECTION_INVALID", message: expect.stringContaining("quantile:0.9") }),
    );
  });
});
