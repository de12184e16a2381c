/** @file Selection of whole layers. The model has 4 of them; made-up influences are given per layer. */

import { describe, expect, it } from "vitest";
import { countParameters } from "../../src/checkpoint/parameters.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { MODEL, removedOf, select } from "../support/selections.ts";
import { tinyCheckpoint } from "../support/tiny-models.ts";
import { elementCount } from "../../src/tensor.ts";

const INFLUENCES = [0.4, 0.1, 0.3, 0.2];
const made = { relevance: (layer: number): number => INFLUENCES[layer]! };
const layers = (budget: string, changes: Parameters<typeof select>[0] = {}): ReturnType<typeof select> =>
  select({ layout: "uniform", kinds: ["layer"], budget, ...changes }, made);

describe("whole layers", () => {
  it.each([
    ["13% of blocks", [1]],
    ["37% of blocks", [1]],
    ["38% of blocks", [1, 3]],
    ["75% of blocks", [1, 2, 3]],
    ["87% of blocks", [1, 2, 3]],
    ["0%", []],
  ])("those with the least influence are removed, as close to %s as whole layers can be", async (budget, expected) => {
    const plan = await layers(budget);
    expect(removedOf(plan, "layer").flatMap((removed, layer) => (removed.length > 0 ? [layer] : []))).toEqual(expected);
    const tensors = cutExpert(tinyCheckpoint(MODEL), plan).tensors;
    const kept = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(plan.parameters.removed).toBe(countParameters(MODEL.config).total - kept);
  });

  it("are kept if they matter to one of two dimensions", async () => {
    const perDocument = (layer: number, _: unknown, document: number): number =>
      // Documents 0 to 3 are the language's, 4 to 7 the domain's.
      document < 4 ? INFLUENCES[layer]! : [0.1, 0.4, 0.3, 0.2][layer]!;
    const options = { layout: "uniform", kinds: ["layer"], budget: "25% of blocks", dimensions: ["language", "domain"] } as const;
    const plan = await select(options, { relevance: perDocument });
    expect(removedOf(plan, "layer")).toEqual([[], [], [], [0]]);
  });

  it.each(["12% of blocks", "1%"])("a budget of less than half a layer is refused: %s", async (budget) => {
    await expect(layers(budget)).rejects.toThrow(
      /less than half a layer, expected 1 to 3 layers of \d+ parameters, 25\.0% to 75\.0%/,
    );
  });

  it("a budget of all of them is refused", async () => {
    await expect(layers("88% of blocks")).rejects.toMatchObject({ code: "BUDGET_UNREACHABLE" });
    await expect(layers("88% of blocks")).rejects.toThrow(/nearest to all 4 layers/);
  });

  it.each([
    [{ layout: "ragged" }, /layout uniform/],
    [{ layout: "masked" }, /layout uniform/],
    [{ kinds: ["layer", "ffn"] }, /layer alone/],
  ] as const)("are refused with %j", async (changes, message) => {
    await expect(layers("25% of blocks", changes)).rejects.toMatchObject({ code: "LAYOUT_UNSUPPORTED" });
    await expect(layers("25% of blocks", changes)).rejects.toThrow(message);
  });
});
