/** @file The values by which each method ranks units, against its formula computed directly. */

import { describe, expect, it } from "vitest";
import { methodsFor, withMethod } from "../../src/pipeline/selection-step.ts";
import { METHODS, METHOD_NAMES } from "../../src/selection/methods/index.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import { MODEL } from "../support/selections.ts";
import { tinyCheckpoint } from "../support/tiny-models.ts";

const WEIGHTS = tinyCheckpoint(MODEL, "F32");
const SCORES = madeUpScores(MODEL.config);

/** Row `row` or column `column` of a matrix of layer 2. */
function line(name: string, { row, column }: { row?: number; column?: number }): number[] {
  const { shape, values } = MODEL.tensors.get(`model.layers.2.${name}.weight`)!;
  const [rows, columns] = shape as [number, number];
  return row !== undefined
    ? [...values.subarray(row * columns, (row + 1) * columns)]
    : Array.from({ length: rows }, (_, at) => values[at * columns + column!]!);
}

const norm = (values: readonly number[]): number => Math.hypot(...values);

describe("magnitude", () => {
  const scores = METHODS.magnitude.relevances(SCORES, WEIGHTS, 0);

  it("of an FFN unit is the norm of its rows and its column", async () => {
    const values = await scores.read(2, "ffn");
    for (const unit of [0, 17, 63]) {
      const weights = [
        ...line("mlp.gate_proj", { row: unit }),
        ...line("mlp.up_proj", { row: unit }),
        ...line("mlp.down_proj", { column: unit }),
      ];
      expect(values[unit]).toBeCloseTo(norm(weights), 5);
    }
  });

  it("of a KV group includes its query heads", async () => {
    const { headDim: K } = MODEL.config;
    const { numAttentionHeads: H, numKeyValueHeads: G } = MODEL.config.layerSizes[2]!;
    const values = await scores.read(2, "kv-group");
    expect(values).toHaveLength(G);
    const perGroup = (H / G) * K;
    const weights = [
      ...Array.from({ length: K }, (_, i) =>
        ["self_attn.k_proj", "self_attn.v_proj"].flatMap((name) => line(name, { row: K + i })),
      ),
      ...Array.from({ length: perGroup }, (_, i) => [
        ...line("self_attn.q_proj", { row: perGroup + i }),
        ...line("self_attn.o_proj", { column: perGroup + i }),
      ]),
    ].flat();
    expect(values[1]).toBeCloseTo(norm(weights), 5);
  });
});

describe("wanda-sp", () => {
  it("is the mean of |w|·‖a‖ over outputs, with ‖a‖ over the documents of all dimensions", async () => {
    const scores = METHODS["wanda-sp"].relevances(SCORES, WEIGHTS, 0);
    expect(scores.documents).toEqual([{ source: "wanda-sp", tokenCount: 1, dimensions: ["language", "domain", "task"] }]);
    const values = await scores.read(2, "ffn");
    const relevance = await SCORES.read(2, "ffn");
    for (const unit of [0, 17, 63]) {
      const column = line("mlp.down_proj", { column: unit });
      // Made-up relevances are ‖a‖·‖w‖.
      const activations = SCORES.documents.map((_, document) => relevance[document * 64 + unit]! / norm(column));
      const expected = column.reduce((sum, weight) => sum + Math.abs(weight) * norm(activations), 0) / column.length;
      expect(values[unit]! / expected).toBeCloseTo(1, 5);
    }
  });
});

describe("flap", () => {
  it("orders by the variance of a unit's output, in standard deviations of its layer", async () => {
    const tokens = 100 * SCORES.documents.length;
    const variances = async (layer: number): Promise<number[]> => {
      const [norms, sums] = [await SCORES.read(layer, "ffn"), await SCORES.read(layer, "ffn-sum")];
      return Array.from({ length: 64 }, (_, unit) => {
        const at = SCORES.documents.map((__, document) => document * 64 + unit);
        const meanOfSquares = at.reduce((sum, index) => sum + norms[index]! ** 2, 0) / tokens;
        return meanOfSquares - (at.reduce((sum, index) => sum + sums[index]!, 0) / tokens) ** 2;
      });
    };
    for (const layer of [0, 3]) {
      const expected = await variances(layer);
      const mean = expected.reduce((sum, value) => sum + value, 0) / 64;
      const deviation = Math.sqrt(expected.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 64);
      const values = await METHODS.flap.relevances(SCORES, WEIGHTS, 0).read(layer, "ffn");
      for (const unit of [0, 17, 63]) expect(2 * Math.log(values[unit]!)).toBeCloseTo((expected[unit]! - mean) / deviation, 4);
    }
  });
});

describe("shortgpt", () => {
  it("is the mean of the documents' Block Influence, with the same weight for every token", async () => {
    const tokens = SCORES.documents.map((_, document) => 10 + 7 * document);
    const documents = SCORES.documents.map((document, index) => ({ ...document, tokenCount: tokens[index]! }));
    const scores = METHODS.shortgpt.relevances({ ...SCORES, documents }, WEIGHTS, 0);
    const influences = await SCORES.read(2, "layer");
    const sum = tokens.reduce((total, count, document) => total + count * influences[document]!, 0);
    const values = await scores.read(2, "layer");
    expect(values).toHaveLength(1);
    expect(values[0]! / (sum / tokens.reduce((total, count) => total + count))).toBeCloseTo(1, 6);
  });
});

describe("random", () => {
  it("is the same for the same seed, and differs for another", async () => {
    const read = (seed: number, layer: number): Promise<Float32Array> =>
      METHODS.random.relevances(SCORES, WEIGHTS, seed).read(layer, "ffn");
    expect(await read(3, 1)).toEqual(await read(3, 1));
    expect(await read(4, 1)).not.toEqual(await read(3, 1));
    expect(await read(3, 2)).not.toEqual(await read(3, 1));
    const mean = (await read(3, 1)).reduce((sum, value) => sum + value, 0) / 64;
    // 64 uniform values: a standard error of 0.036.
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.15);
  });
});

describe("a method's defaults", () => {
  it.each(METHOD_NAMES)("%s: are overridden by the user's settings", (name) => {
    const kinds = METHODS[name].kinds.slice(0, 1);
    const choice = { budget: "10%", layout: "ragged", kinds, aggregate: "quantile:0.9", allocation: "global" } as const;
    expect(withMethod(choice, name)).toEqual(choice);
  });

  it("limit a comparison of all methods to those that can make the chosen expert", () => {
    const choice = { budget: "10%", layout: "uniform" } as const;
    expect(methodsFor(choice, undefined)).toEqual(METHOD_NAMES);
    const others = METHOD_NAMES.filter((name) => name !== "shortgpt");
    expect(methodsFor(choice, true)).toEqual(others);
    expect(methodsFor({ ...choice, layout: "ragged" }, undefined)).toEqual(others);
    expect(methodsFor({ ...choice, kinds: ["ffn"] }, undefined)).toEqual(others);
    expect(methodsFor({ ...choice, kinds: ["layer"] }, undefined)).toEqual(["cusprun", "cusprun-paper", "shortgpt", "random"]);
  });

  it("turn cusprun-paper into the paper's rule", () => {
    expect(withMethod({ budget: "10%", layout: "uniform" }, "cusprun-paper")).toMatchObject({ aggregate: "max" });
  });

  it("refuse kinds that a method cannot rank", () => {
    const choice = { budget: "10%", layout: "masked", kinds: ["ffn", "value-dim"] } as const;
    expect(() => withMethod(choice, "wanda-sp")).toThrow(/wanda-sp.*value-dim/s);
    expect(() => withMethod({ budget: "10%", layout: "masked", granularity: "matrix" }, "magnitude")).toThrow(/matrix/);
    expect(withMethod({ ...choice, granularity: "matrix" }, "cusprun-paper")).toMatchObject({ granularity: "matrix" });
  });
});
