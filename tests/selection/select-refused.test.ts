import { describe, expect, it } from "vitest";
import { selectUnits } from "../../src/selection/select.ts";
import type { SelectionOptions } from "../../src/selection/selection-options.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import type { MadeUpScores } from "../support/made-up-scores.ts";
import { select, THREE } from "../support/selections.ts";
import { tinyModel } from "../support/tiny-models.ts";

describe("refused choices", () => {
  it.each<[string, Partial<SelectionOptions>, MadeUpScores, string, RegExp]>([
    [
      "value dimensions in uniform",
      { layout: "uniform", kinds: ["value-dim"] },
      {},
      "LAYOUT_UNSUPPORTED",
      /kind value-dim.*ffn, head, kv-group.*--layout masked/,
    ],
    [
      "rotary pairs in uniform",
      { layout: "uniform", kinds: ["ffn", "rotary-pair"] },
      {},
      "LAYOUT_UNSUPPORTED",
      /kind rotary-pair/,
    ],
    [
      "matrix in uniform",
      { layout: "uniform", granularity: "matrix" },
      {},
      "LAYOUT_UNSUPPORTED",
      /granularity matrix.*--layout masked/,
    ],
    ["value dimensions in ragged", { layout: "ragged", kinds: ["value-dim"] }, {}, "LAYOUT_UNSUPPORTED", /kind value-dim/],
    ["matrix in ragged", { layout: "ragged", granularity: "matrix" }, {}, "LAYOUT_UNSUPPORTED", /granularity matrix/],
    ["layer allocation in ragged", { layout: "ragged", allocation: "layer" }, {}, "LAYOUT_UNSUPPORTED", /allocation layer/],
    ["too much in ragged", { layout: "ragged", budget: "60% of blocks" }, {}, "BUDGET_UNREACHABLE", /keeping 0\.3 of its units/],
    ["global in uniform", { layout: "uniform", allocation: "global" }, {}, "LAYOUT_UNSUPPORTED", /global allocation.*same sizes/],
    [
      "layer allocation of matrices",
      { granularity: "matrix", allocation: "layer" },
      {},
      "SELECTION_INVALID",
      /allocation: found layer/,
    ],
    [
      "a dimension without documents",
      {},
      { dimensions: ["language"] },
      "SCORES_LACK",
      /no documents of dimension domain.*\(language\).*Score again/,
    ],
    [
      "a kind that was not scored",
      { kinds: ["head"] },
      { kinds: ["ffn"] },
      "SCORES_LACK",
      /no relevances of head.*\(ffn\).*Score again/,
    ],
    [
      "matrices that were not scored",
      { granularity: "matrix", matrices: ["q"] },
      { kinds: ["ffn"] },
      "SCORES_LACK",
      /no relevances for q.*q-row/,
    ],
    ["no dimension", { dimensions: [] }, {}, "SELECTION_INVALID", /dimensions: found none/],
    ["only weights of 0", { dimensions: ["task"], weights: { task: 0 } }, {}, "SELECTION_INVALID", /only weights of 0/],
    ["a negative weight", { weights: { task: -1 } }, {}, "SELECTION_INVALID", /weight of task: found -1/],
    [
      "a weight of a dimension that was not chosen",
      { dimensions: ["task"], weights: { domain: 2 } },
      {},
      "SELECTION_INVALID",
      /weight of domain.*chosen dimension \(task\)/,
    ],
    ["a floor over 1", { floor: 1.5 }, {}, "SELECTION_INVALID", /floor: found 1.5/],
    ["half a snap", { layout: "uniform", snap: 0.5 }, {}, "SELECTION_INVALID", /snap: found 0.5/],
    ["an unknown aggregate", { aggregate: "median" }, {}, "SELECTION_INVALID", /aggregate: found "median"/],
    ["relevances that are not finite", {}, { relevance: () => NaN }, "SCORES_LACK", /layer 0, ffn.*finite/],
  ])("%s", async (_, changes, made, code, message) => {
    await expect(select(changes, made)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("rotary pairs in families that normalise queries and keys", async () => {
    await expect(
      selectUnits(madeUpScores(tinyModel("gemma3").config), {
        dimensions: THREE,
        budget: "5%",
        layout: "masked",
        kinds: ["rotary-pair"],
      }),
    ).rejects.toMatchObject({ code: "LAYOUT_UNSUPPORTED", message: expect.stringMatching(/gemma3 normalises queries and keys/) });
  });

  it("heads with keys and values of their own in uniform", async () => {
    const mha = tinyModel("llama", { numKeyValueHeads: 6 }).config;
    await expect(
      selectUnits(madeUpScores(mha), { dimensions: THREE, budget: "5%", layout: "uniform", kinds: ["head"] }),
    ).rejects.toMatchObject({
      code: "LAYOUT_UNSUPPORTED",
      message: expect.stringMatching(/Choose kv-group/),
    });
  });

  it("an abort", async () => {
    await expect(select({ signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
  });
});
