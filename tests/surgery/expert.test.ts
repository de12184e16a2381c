/**
 * @file Cut experts: what is kept is bit-identical, plans that do not fit are refused, and config.json follows the cut.
 */

import { describe, expect, it } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import type { TinyFamily } from "../support/tiny-families.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import type { Expert } from "../../src/surgery/expert.ts";
import { BOTH, FFN, GROUPS, models } from "../support/experts.ts";
import { planOf } from "../support/plans.ts";
import type { Removed } from "../support/plans.ts";
import { tinyBytes, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

describe("pruning nothing", () => {
  it.each(models())("leaves every tensor of %s bit-identical, whatever its dtype", async (_, model) => {
    for (const layout of ["masked", "uniform"] as const) {
      for (const dtype of ["F32", "BF16"] as const) {
        const checkpoint = tinyCheckpoint(model, dtype);
        const expert = cutExpert(checkpoint, planOf(layout, [{}, {}, { ffn: [] }]));
        expect(expert.configJson).toEqual(checkpoint.configJson);
        expect(expert.config).toEqual(checkpoint.config);
        expect(expert.tensors.map((tensor) => tensor.name)).toEqual([...model.tensors.keys()]);
        for (const tensor of expert.tensors) {
          const original = model.tensors.get(tensor.name)!;
          expect(tensor.shape).toEqual(original.shape);
          expect(await tensor.readBytes!()).toEqual(tinyBytes(original.values, dtype));
        }
      }
    }
  });
});

describe("cutExpert", () => {
  it("moves stored floats as bits: the kept rows are the checkpoint's bytes", async () => {
    const model = tinyModel("mistral");
    const expert = cutExpert(tinyCheckpoint(model, "BF16"), planOf("uniform", FFN));
    const [D, kept] = [30, Array.from({ length: 40 }, (_, j) => j).filter((j) => !FFN[0]!.ffn!.includes(j))];
    const gate = tensorNamed(expert, "model.layers.0.mlp.gate_proj.weight");
    const bytes = tinyBytes(model.tensors.get(gate.name)!.values, "BF16");
    expect(gate.shape).toEqual([32, D]);
    expect(Buffer.from(await gate.readBytes!())).toEqual(
      Buffer.concat(kept.map((j) => bytes.subarray(2 * j * D, 2 * (j + 1) * D))),
    );
    const down = tensorNamed(expert, "model.layers.0.mlp.down_proj.weight");
    const words = new Uint16Array(tinyBytes(model.tensors.get(down.name)!.values, "BF16").buffer);
    const expected = Uint16Array.from(Array.from({ length: D }, (_, row) => kept.map((j) => words[row * 40 + j]!)).flat());
    expect(down.shape).toEqual([D, 32]);
    expect(new Uint16Array((await down.readBytes!()).buffer)).toEqual(expected);
  });

  it("reads tensors lazily, one at a time", async () => {
    const checkpoint = tinyCheckpoint(tinyModel("llama"));
    const expert = cutExpert(checkpoint, planOf("uniform", FFN));
    expect(checkpoint.reads).toEqual([]);
    await tensorNamed(expert, "model.layers.1.mlp.up_proj.weight").readFloat32();
    expect(checkpoint.reads).toEqual(["model.layers.1.mlp.up_proj.weight"]);
  });

  it("has no bytes for quantised tensors", () => {
    const checkpoint = tinyCheckpoint(tinyModel("llama"));
    const quantised: Checkpoint = {
      ...checkpoint,
      tensors: new Map([...checkpoint.tensors].map(([name, info]) => [name, { ...info, dtype: "Q4_K" as const }])),
    };
    expect(cutExpert(quantised, planOf("masked", [{}, {}, {}])).tensors.every((tensor) => tensor.readBytes === null)).toBe(true);
  });

  it("changes only the keys of config.json that the cut requires", () => {
    const model = tinyModel("qwen2");
    expect(cutExpert(tinyCheckpoint(model), planOf("uniform", FFN)).configJson).toEqual({
      ...model.configJson,
      intermediate_size: 32,
    });
    expect(cutExpert(tinyCheckpoint(model), planOf("uniform", BOTH)).configJson).toEqual({
      ...model.configJson,
      intermediate_size: 39,
      num_attention_heads: 2,
      num_key_value_heads: 2,
      head_dim: 8,
    });
  });

  it("turns a llama whose heads no longer divide its hidden size into a mistral", () => {
    const model = tinyModel("llama");
    const expert = cutExpert(tinyCheckpoint(model), planOf("uniform", GROUPS));
    expect(expert.config.family).toBe("mistral");
    expect(expert.configJson).toMatchObject({
      model_type: "mistral",
      architectures: ["MistralForCausalLM"],
      sliding_window: null,
      num_attention_heads: 4,
      head_dim: 8,
    });
  });

  it.each([
    ["gemma3", tinyModel("gemma3")],
    ["llama with biases", tinyModel("llama", { attentionBias: true })],
  ])("refuses head counts that no stock runtime loads: %s", (_, model) => {
    expect(() => cutExpert(tinyCheckpoint(model), planOf("uniform", GROUPS))).toThrowError(
      expect.objectContaining({
        code: "LAYOUT_UNSUPPORTED",
        message: expect.stringMatching(/4 query heads.*hidden size of 30.*--layout masked/),
      }),
    );
  });

  it.each<[string, TinyFamily, readonly Removed[], RegExp]>([
    ["too few layers", "llama", [{}, {}], /2 layers.*3, as the model has/],
    ["a unit that the model lacks", "llama", [{}, { ffn: [0, 40] }, {}], /layer 1, ffn: found unit 40.*units under 40/],
    [
      "layers of different widths",
      "llama",
      [{ ffn: [1] }, { ffn: [1] }, {}],
      /layer 2: found 40 FFN units kept.*39 as in layer 0/,
    ],
    [
      "groups with different numbers of heads",
      "llama",
      [{ head: [0] }, { head: [0] }, { head: [0] }],
      /layer 0, head: found 1, 2 heads kept per group.*same number/,
    ],
    [
      "a kind that uniform has no size for",
      "llama",
      [{}, { "value-dim": [0] }, {}],
      /layer 1: found units of value-dim.*only ffn, head, kv-group/,
    ],
    ["every FFN unit", "llama", [{ ffn: Array.from({ length: 40 }, (_, j) => j) }, {}, {}], /all 40 units removed/],
  ])("refuses a plan with %s", (_, family, removed, message) => {
    expect(() => cutExpert(tinyCheckpoint(tinyModel(family)), planOf("uniform", removed))).toThrowError(
      expect.objectContaining({ code: "PLAN_MISMATCH", message: expect.stringMatching(message) }),
    );
  });

  it.each(["rotary-pair", "matrix:q", "matrix:k"] as const)("refuses %s in families that normalise queries and keys", (kind) => {
    expect(() => cutExpert(tinyCheckpoint(tinyModel("qwen3")), planOf("masked", [{}, { [kind]: [0] }, {}]))).toThrowError(
      expect.objectContaining({
        code: "LAYOUT_UNSUPPORTED",
        message: expect.stringMatching(/layer 1.*normalises queries and keys/),
      }),
    );
  });

  function tensorNamed(expert: Expert, name: string): Expert["tensors"][number] {
    return expert.tensors.find((tensor) => tensor.name === name)!;
  }
});
