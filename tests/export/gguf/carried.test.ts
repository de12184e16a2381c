/**
 * @file A GGUF file that is cut stays a GGUF file: unchanged tensors keep the input's bytes, rows are cut as bytes, and
 * only matrices that lost columns or were fitted again are quantised again.
 */

import { describe, expect, test } from "vitest";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import { exportGguf } from "../../../src/export/gguf/export-gguf.ts";
import { quantize } from "../../../src/export/gguf/ggml-quantize.ts";
import type { PrunePlan } from "../../../src/selection/plan.ts";
import { BLOCK_SIZES, cutGguf, readGguf, rowsOf, tensorBytes, valueBytes } from "../../support/gguf-cuts.ts";
import { planOf, type Removed } from "../../support/plans.ts";
import { quantizedGguf } from "../../support/quantized-gguf.ts";
import { RAGGED_CUTS } from "../../support/ragged.ts";
import { withFile } from "../../support/temporary-gguf.ts";
import { TINY_FAMILIES, tinyModel } from "../../support/tiny-models.ts";

/** Keeps 32 of 96 FFN units, and of 8 heads those of two groups. */
const CUT: Removed = { ffn: Array.from({ length: 64 }, (_, i) => (i < 32 ? 3 * i : 3 * (i - 32) + 1)), "kv-group": [0, 2] };

function complement(count: number, gone: readonly number[]): number[] {
  return Array.from({ length: count }, (_, index) => index).filter((index) => !gone.includes(index));
}

const heads = (kept: readonly number[]): number[] => kept.flatMap((head) => Array.from({ length: 8 }, (_, i) => head * 8 + i));

describe.each(TINY_FAMILIES)("%s", (family) => {
  const bytes = quantizedGguf(tinyModel(family, BLOCK_SIZES));

  test("without a cut, the file is the same byte for byte", () =>
    cutGguf(bytes, planOf("uniform", [{}, {}, {}]), async ({ before, after, written }) => {
      expect(written.type).toBe("as stored");
      expect(after.bytes.equals(before.bytes)).toBe(true);
    }));

  test("uniform: rows have the input's bytes, cut columns are quantised to their own type, keys are carried over", () =>
    cutGguf(bytes, planOf("uniform", [CUT, CUT, CUT]), async ({ before, after, expert, written }) => {
      // llama.cpp's qwen2 refuses heads that do not fill the hidden size: its rows are reordered.
      const isReordered = family === "qwen2";
      expect(written.architecture).toBe(isReordered ? "llama" : before.header.metadata.get("general.architecture"));
      for (const [name, tensor] of after.header.tensors) {
        const found = tensorBytes(after, name);
        expect(tensor.dtype, name).toBe(before.header.tensors.get(name)!.dtype);
        const [, layer, part] = /^blk\.(\d+)\.([a-z_]+)\.(?:weight|bias)$/.exec(name) ?? [];
        if (/^ffn_(gate|up)$/.test(part ?? "")) {
          expect(found.equals(rowsOf(before, name, complement(96, CUT.ffn!))), name).toBe(true);
        } else if (/^attn_[qkv]$/.test(part ?? "")) {
          const kept = part === "attn_q" ? heads([2, 3, 6, 7]) : heads([1, 3]);
          const same = found.equals(rowsOf(before, name, kept));
          expect(same, name).toBe(!isReordered || part === "attn_v");
        } else if (/^(ffn_down|attn_output)$/.test(part ?? "")) {
          const role = part === "ffn_down" ? "mlp.down_proj" : "self_attn.o_proj";
          const cut = expert.tensors.find((candidate) => candidate.name === `model.layers.${layer}.${role}.weight`)!;
          expect(found.equals(quantize("Q4_1", await cut.readFloat32())), name).toBe(true);
        } else expect(found.equals(tensorBytes(before, name)), name).toBe(true);
      }
      const { architecture } = written;
      const own = new RegExp(`^${architecture}\\.(feed_forward_length|attention\\.(head_count(_kv)?)|rope\\.dimension_count)$`);
      for (const key of after.header.metadata.keys()) {
        const isChanged = key === "general.size_label" || own.test(key) || (isReordered && /^general\.arch|^llama\./.test(key));
        if (!isChanged) expect(valueBytes(after, key).equals(valueBytes(before, key)), key).toBe(true);
      }
      expect(after.header.metadata.get(`${architecture}.feed_forward_length`)).toBe(32);
      expect(after.header.metadata.get(`${architecture}.attention.head_count`)).toBe(4);
      expect(after.header.metadata.get("somebody.large")).toBe(2n ** 60n);
      expect([...after.header.metadata.keys()]).toEqual(
        expect.arrayContaining(["tokenizer.ggml.some_new_key", "somebody.flags"]),
      );
    }));

  test("masked: removed rows are zero, all others have the input's bytes", () =>
    cutGguf(bytes, planOf("masked", [{ ffn: [5] }, {}, {}]), async ({ before, after, back, expert }) => {
      const name = "blk.0.ffn_gate.weight";
      const others = complement(96, [5]);
      expect(rowsOf(after, name, others).equals(rowsOf(before, name, others))).toBe(true);
      const hf = "model.layers.0.mlp.gate_proj.weight";
      const values = await back.readFloat32(hf, { start: 5, end: 6 });
      expect(values.every((value) => value === 0)).toBe(true);
      expect(await back.readFloat32(hf)).toEqual(await expert.tensors.find((tensor) => tensor.name === hf)!.readFloat32());
    }));
});

test.each([
  { family: "llama", changes: {}, architecture: "deci" },
  { family: "qwen2", changes: {}, architecture: "deci" },
  { family: "qwen3", changes: { tied: true }, architecture: "openelm" },
] as const)("ragged $family as $architecture: rows keep their values exactly", ({ family, changes, architecture }) => {
  const sizes = {
    ...BLOCK_SIZES,
    hiddenSize: 64,
    intermediateSize: 40,
    numAttentionHeads: 6,
    numKeyValueHeads: 3,
    headDim: 8,
    ...changes,
  };
  return cutGguf(
    quantizedGguf(tinyModel(family, { ...sizes, headDim: 16, intermediateSize: 64 })),
    raggedPlan(),
    async (made) => {
      const { written, expert, back } = made;
      expect(written.architecture).toBe(architecture);
      for (const { name, readFloat32 } of expert.tensors) {
        const found = await back.readFloat32(name);
        const expected = await readFloat32();
        const isFused = architecture === "openelm" && /self_attn\.[qk]_proj/.test(name);
        if (/down_proj|o_proj/.test(name) || isFused) expect(worst(found, expected), name).toBeLessThan(0.08);
        else expect(found, name).toEqual(expected);
        // q, k and v are one tensor in openelm, in the finest of their types.
        if (isFused) expect(back.tensors.get(name)!.dtype).toBe("Q5_0");
      }
      expect(back.config.layerSizes).toEqual(expert.config.layerSizes);
    },
  );
});

/** Keeps 32, 40 and 48 of F 64; 40 is not a multiple of 32. */
function raggedPlan(): PrunePlan {
  const more = [8, 17, 40].map((first) => Array.from({ length: 16 }, (_, i) => first + i));
  return planOf("ragged", [
    { ...RAGGED_CUTS[0], ffn: Array.from({ length: 32 }, (_, i) => 2 * i) },
    { ...RAGGED_CUTS[1], ffn: Array.from({ length: 24 }, (_, i) => 2 * i + 1) },
    { ffn: more[2]! },
  ]);
}

function worst(found: Float32Array, expected: Float32Array): number {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0) / largest;
}

test("the input's own alignment is not carried over", async () => {
  const bytes = quantizedGguf(tinyModel("llama", BLOCK_SIZES), { alignment: 128 });
  await cutGguf(bytes, planOf("uniform", [{}, {}, {}]), async ({ before, after }) => {
    expect(before.header.metadata.get("general.alignment")).toBe(128);
    expect(after.header.metadata.has("general.alignment")).toBe(false);
    for (const name of before.header.tensors.keys()) {
      expect(tensorBytes(after, name).equals(tensorBytes(before, name)), name).toBe(true);
    }
  });
});

test("a requested type is llama-quantize's, and tensors that already have it are copied", () =>
  withFile(quantizedGguf(tinyModel("llama", BLOCK_SIZES)), async (path) => {
    const source = await openGguf(path);
    const out = `${path}.q8.gguf`;
    const { type } = await exportGguf(source, out, { type: "Q8_0" });
    await source.close();
    expect(type).toBe("Q8_0");
    const [before, after] = [await readGguf(path), await readGguf(out)];
    expect(after.header.tensors.get("blk.0.attn_q.weight")!.dtype).toBe("Q8_0");
    expect(tensorBytes(after, "blk.0.ffn_up.weight").equals(tensorBytes(before, "blk.0.ffn_up.weight"))).toBe(true);
    expect(after.header.metadata.get("general.file_type")).toBe(7);
    expect(after.header.metadata.get("general.name")).toBe("Tiny");
  }));
