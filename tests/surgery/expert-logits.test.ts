/**
 * @file Logits of cut experts: those of the masked model, and of the dense model without the removed units and layers.
 */

import { describe, expect, it } from "vitest";
import { parseHfConfig } from "../../src/checkpoint/config/hf-config.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import type { Expert } from "../../src/surgery/expert.ts";
import type { CutKind } from "../../src/selection/plan.ts";
import { BOTH, FFN, GROUPS, HEADS, IDS, logitsOf, models, tensorsOf, worstError } from "../support/experts.ts";
import { planOf } from "../support/plans.ts";
import type { Removed } from "../support/plans.ts";
import { referenceLogits } from "../support/reference-forward.ts";
import type { ReferenceTensor } from "../support/reference-forward.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";
import type { TinyModel } from "../support/tiny-models.ts";

describe("the cut model's logits equal the masked model's", () => {
  // Both are computed in f64 from the same f32 weights; they differ only by the order of sums and by adding zeros.
  const TOLERANCE = 1e-12;
  const cases = models().flatMap(([name, model]) =>
    Object.entries({ FFN, HEADS, GROUPS, BOTH }).map(([cut, removed]) => [name, cut, model, removed] as const),
  );

  it.each(cases.filter(([name, cut]) => !(cut === "GROUPS" && needsDivisor(name))))("%s, %s", async (_, __, model, removed) => {
    const checkpoint = tinyCheckpoint(model);
    const dense = await logitsOf(cutExpert(checkpoint, planOf("masked", [{}, {}, {}])));
    const masked = await logitsOf(cutExpert(checkpoint, planOf("masked", removed)));
    const cut = await logitsOf(cutExpert(checkpoint, planOf("uniform", removed)));
    expect(worstError(cut, masked)).toBeLessThan(TOLERANCE);
    expect(worstError(masked, dense)).toBeGreaterThan(1e-3);
  });

  /** No stock runtime loads these with 4 heads of a hidden size of 30. */
  function needsDivisor(name: string): boolean {
    return name === "gemma3" || name === "llama with biases";
  }
});

describe("whole layers", () => {
  it.each(models())("%s: the logits of the dense model that skips these layers", async (_, model) => {
    const expert = cutExpert(tinyCheckpoint(model), planOf("uniform", [{}, { layer: [0] }, {}]));
    const expected = referenceLogits(model.configJson, model.tensors, IDS, undefined, [1]).flatMap((row) => Array.from(row));
    expect(worstError(await logitsOf(expert), expected)).toBe(0);
    expect(expert.configJson).toMatchObject({ num_hidden_layers: 2, intermediate_size: 40 });
    expect(expert.config.layerSizes.length).toBe(2);
    // config.json is read back as the same config.
    expect(parseHfConfig(expert.configJson, "config.json")).toEqual(expert.config);
    expect(Math.max(...expert.tensors.map(({ name }) => Number(/layers\.(\d+)/.exec(name)?.[1] ?? 0)))).toBe(1);
  });

  it("leave the kept layers' types unchanged, even if config.json defines them by a rule", () => {
    const model = tinyModel("gemma3", { numHiddenLayers: 7 });
    const config = parseHfConfig({ ...model.configJson, layer_types: undefined, sliding_window_pattern: 6 }, "config.json");
    const { layer_types: _, ...configJson } = { ...model.configJson, sliding_window_pattern: 6 } as Record<string, unknown>;
    const layers: Removed[] = [{ layer: [0] }, {}, {}, { layer: [0] }, {}, {}, {}];
    const expert = cutExpert({ ...tinyCheckpoint(model), config, configJson }, planOf("uniform", layers));
    const types = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention", "sliding_attention"];
    expect(expert.configJson["layer_types"]).toEqual(types);
    expect(expert.config.layerTypes).toEqual(types);
  });

  it("can be removed together with units of the kept layers", async () => {
    const model = tinyModel("llama");
    const both = cutExpert(tinyCheckpoint(model), planOf("uniform", [FFN[0]!, { layer: [0] }, FFN[2]!]));
    const masked = cutExpert(tinyCheckpoint(model), planOf("masked", [FFN[0]!, {}, FFN[2]!]));
    const expected = referenceLogits(masked.configJson, await tensorsOf(masked), IDS, undefined, [1]).flatMap((row) =>
      Array.from(row),
    );
    expect(worstError(await logitsOf(both), expected)).toBeLessThan(1e-12);
  });

  const all: Removed[] = [{ layer: [0] }, { layer: [0] }, { layer: [0] }];
  it.each([
    ["all of them", "uniform", all, "at least one that is kept"],
    ["with units named of them", "uniform", [{ layer: [0], ffn: [1] }, {}, {}], "layer alone"],
    ["of a ragged plan", "ragged", [{ layer: [0] }, {}, {}], "none in layout ragged"],
    ["of a masked plan", "masked", [{ layer: [0] }, {}, {}], "none in layout masked"],
    ["twice", "uniform", [{ layer: [0, 1] }, {}, {}], "units under 1"],
  ] as const)("are refused: %s", (_, layout, removed, expected) => {
    expect(() => cutExpert(tinyCheckpoint(tinyModel("llama")), planOf(layout, removed))).toThrow(expected);
  });
});

describe("a masked unit", () => {
  /** Per kind, a unit and the meaning of its removal in terms of the reference's tensors. */
  const removals: readonly [CutKind, number, string, (line: number) => boolean][] = [
    [
      "value-dim",
      13,
      "o_proj.weight columns of dimension 5 in heads 2 and 3",
      (column) => column === 2 * 8 + 5 || column === 3 * 8 + 5,
    ],
    ["head", 4, "o_proj.weight columns of head 4", (column) => column >= 32 && column < 40],
    ["kv-group", 1, "o_proj.weight columns of heads 2 and 3", (column) => column >= 16 && column < 32],
  ];

  it.each(
    TINY_FAMILIES.flatMap((family) => removals.map(([kind, unit, what, isGone]) => [family, kind, unit, what, isGone] as const)),
  )("%s: %s %i no longer contributes: %s", async (family, kind, unit, _, isGone) => {
    const model = tinyModel(family);
    const layers: Removed[] = [{}, { [kind]: [unit] }, {}];
    const expert = cutExpert(tinyCheckpoint(model), planOf("masked", layers));
    // By definition: the unit's columns of o are zero, everything else is unchanged.
    const name = "model.layers.1.self_attn.o_proj.weight";
    const { shape, values } = model.tensors.get(name)!;
    const without = new Map(model.tensors as ReadonlyMap<string, ReferenceTensor>);
    without.set(name, { shape, values: values.map((value, i) => (isGone(i % shape[1]!) ? 0 : value)) });
    const expected = referenceLogits(model.configJson, without, IDS).flatMap((row) => Array.from(row));
    expect(worstError(await logitsOf(expert), expected)).toBeLessThan(1e-12);
  });

  it("rotary-pair: zeroes both rows in k and in every query head of the group, with their biases", async () => {
    const model = tinyModel("qwen2");
    const expert = cutExpert(tinyCheckpoint(model), planOf("masked", [{}, { "rotary-pair": [1 * 4 + 2] }, {}]));
    const block = "model.layers.1.self_attn";
    expect(await zeroRows(expert, `${block}.k_proj`)).toEqual([8 + 2, 8 + 6]);
    expect(await zeroRows(expert, `${block}.q_proj`)).toEqual([16 + 2, 16 + 6, 24 + 2, 24 + 6]);
    expect(await changedTensors(expert, model)).toEqual(
      ["k_proj.bias", "k_proj.weight", "q_proj.bias", "q_proj.weight"].map((name) => `${block}.${name}`),
    );
  });

  it("of granularity matrix zeroes one row or column of one matrix, a row with its bias", async () => {
    const model = tinyModel("qwen2");
    const removed: Removed = {
      "matrix:gate": [1],
      "matrix:up": [2],
      "matrix:down": [3],
      "matrix:q": [4],
      "matrix:k": [5],
      "matrix:v": [6],
      "matrix:o": [7],
    };
    const expert = cutExpert(tinyCheckpoint(model), planOf("masked", [removed, {}, {}], { granularity: "matrix" }));
    const tensors = await tensorsOf(expert);
    for (const [name, row] of [
      ["mlp.gate_proj", 1],
      ["mlp.up_proj", 2],
      ["self_attn.q_proj", 4],
      ["self_attn.k_proj", 5],
      ["self_attn.v_proj", 6],
    ] as const) {
      expect(await zeroRows(expert, `model.layers.0.${name}`)).toEqual([row]);
    }
    for (const [name, column] of [
      ["mlp.down_proj", 3],
      ["self_attn.o_proj", 7],
    ] as const) {
      const { shape, values } = tensors.get(`model.layers.0.${name}.weight`)!;
      const zeros = [...values].flatMap((value, i) => (value === 0 ? [i % shape[1]!] : []));
      expect(zeros).toEqual(Array.from({ length: shape[0]! }, () => column));
    }
  });

  async function zeroRows(expert: Expert, name: string): Promise<number[]> {
    const tensors = await tensorsOf(expert);
    const { shape, values } = tensors.get(`${name}.weight`)!;
    const rows = Array.from({ length: shape[0]! }, (_, row) => row).filter((row) =>
      values.slice(row * shape[1]!, (row + 1) * shape[1]!).every((value) => value === 0),
    );
    const biases = tensors.get(`${name}.bias`)?.values ?? [];
    expect(Array.from(biases).flatMap((value, row) => (value === 0 ? [row] : []))).toEqual(biases.length === 0 ? [] : rows);
    return rows;
  }

  async function changedTensors(expert: Expert, model: TinyModel): Promise<string[]> {
    const changed: string[] = [];
    for (const tensor of expert.tensors) {
      const values = await tensor.readFloat32();
      if (values.some((value, i) => value !== model.tensors.get(tensor.name)!.values[i])) changed.push(tensor.name);
    }
    return changed.toSorted();
  }
});
