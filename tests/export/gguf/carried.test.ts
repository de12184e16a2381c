/**
 * @file A GGUF file goes in and a GGUF file comes out: what did not change has the input's own bytes, rows are cut as bytes, and only what lost
 * columns or was fitted anew is quantised again.
 */

import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import type { GgufHeader } from "../../../src/checkpoint/gguf/header.ts";
import { tokenizerFilesFromGguf } from "../../../src/checkpoint/gguf/tokenizer.ts";
import type { GgufValue } from "../../../src/checkpoint/gguf/values.ts";
import { createTokenizer } from "../../../src/corpora/tokenizer.ts";
import { carriedTokenizerValues } from "../../../src/export/gguf/carried-tokenizer.ts";
import { exportGguf, type WrittenGgufFile } from "../../../src/export/gguf/export-gguf.ts";
import type { GgufTypedValue } from "../../../src/export/gguf/writer.ts";
import { quantize } from "../../../src/export/gguf/ggml-quantize.ts";
import type { PrunePlan } from "../../../src/selection/plan.ts";
import { cutExpert, type Expert } from "../../../src/surgery/expert.ts";
import { expertCheckpoint } from "../../../src/surgery/expert-checkpoint.ts";
import { trickyStrings } from "../../reference/texts.mjs";
import { realMetadata } from "../../support/gguf-tokenizers.ts";
import { planOf, type Removed } from "../../support/plans.ts";
import { quantizedGguf } from "../../support/quantized-gguf.ts";
import { RAGGED_CUTS } from "../../support/ragged.ts";
import { REAL_MODELS } from "../../support/real-models.ts";
import { readHeaderOf, withFile } from "../../support/temporary-gguf.ts";
import { TINY_FAMILIES, tinyModel } from "../../support/tiny-models.ts";
import { trimVocabulary } from "../../support/trimmed-vocabularies.ts";

/** D, F and H·K are multiples of 32, as blocks want; H·K = D, as qwen2 wants. */
const SIZES = { hiddenSize: 64, intermediateSize: 96, numAttentionHeads: 8, numKeyValueHeads: 4, headDim: 8 };
/** 32 of 96 units stay; of 8 heads those of two groups. */
const CUT: Removed = { ffn: Array.from({ length: 64 }, (_, i) => (i < 32 ? 3 * i : 3 * (i - 32) + 1)), "kv-group": [0, 2] };

interface Side {
  readonly header: GgufHeader;
  readonly bytes: Buffer;
}

interface Made {
  readonly before: Side;
  readonly after: Side;
  readonly expert: Expert;
  readonly source: Checkpoint;
  readonly back: Checkpoint;
  readonly written: WrittenGgufFile;
}

/** Cuts a file by a plan, writes it, and hands both on. */
async function cutGguf(bytes: Uint8Array, plan: PrunePlan, use: (made: Made) => Promise<void>): Promise<void> {
  await withFile(bytes, async (path) => {
    const source = await openGguf(path);
    const expert = cutExpert(source, plan);
    const out = `${path}.out.gguf`;
    const written = await exportGguf(expertCheckpoint(source, plan, expert), out);
    const back = await openGguf(out);
    const side = async (file: string): Promise<Side> => ({ header: await readHeaderOf(file), bytes: await readFile(file) });
    try {
      await use({ before: await side(path), after: await side(out), expert, source, back, written });
    } finally {
      await source.close();
      await back.close();
    }
  });
}

function tensorBytes({ header, bytes }: Side, name: string): Buffer {
  const { startByte, byteLength } = header.tensors.get(name)!;
  return bytes.subarray(startByte, startByte + byteLength);
}

function valueBytes({ header, bytes }: Side, key: string): Buffer {
  const { startByte, endByte } = header.valueRanges.get(key)!;
  return bytes.subarray(startByte, endByte);
}

/** Rows of a tensor in the file's own order, straight from its bytes. */
function rowsOf(side: Side, name: string, kept: readonly number[]): Buffer {
  const { shape, byteLength } = side.header.tensors.get(name)!;
  const rowBytes = byteLength / shape[0]!;
  return Buffer.concat(kept.map((row) => tensorBytes(side, name).subarray(row * rowBytes, (row + 1) * rowBytes)));
}

function complement(count: number, gone: readonly number[]): number[] {
  return Array.from({ length: count }, (_, index) => index).filter((index) => !gone.includes(index));
}

const heads = (kept: readonly number[]): number[] => kept.flatMap((head) => Array.from({ length: 8 }, (_, i) => head * 8 + i));

describe.each(TINY_FAMILIES)("%s", (family) => {
  const bytes = quantizedGguf(tinyModel(family, SIZES));

  test("without a cut, the file is the same byte for byte", () =>
    cutGguf(bytes, planOf("uniform", [{}, {}, {}]), async ({ before, after, written }) => {
      expect(written.type).toBe("as stored");
      expect(after.bytes.equals(before.bytes)).toBe(true);
    }));

  test("uniform: rows are the input's bytes, columns are quantised to their own type, keys are carried over", () =>
    cutGguf(bytes, planOf("uniform", [CUT, CUT, CUT]), async ({ before, after, expert, written }) => {
      // llama.cpp's qwen2 refuses heads that do not fill the hidden size: there rows are put in another order.
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

  test("masked: zeroed rows are zero, all others the input's bytes", () =>
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
    ...SIZES,
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
        // q, k and v are one tensor there, in the finest of their types.
        if (isFused) expect(back.tensors.get(name)!.dtype).toBe("Q5_0");
      }
      expect(back.config.layerSizes).toEqual(expert.config.layerSizes);
    },
  );
});

/** Of F 64: 32, 40 and 48 stay, of which 40 is no multiple of 32. */
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

test("another alignment is the input's own, and is not carried over", async () => {
  const bytes = quantizedGguf(tinyModel("llama", SIZES), { alignment: 128 });
  await cutGguf(bytes, planOf("uniform", [{}, {}, {}]), async ({ before, after }) => {
    expect(before.header.metadata.get("general.alignment")).toBe(128);
    expect(after.header.metadata.has("general.alignment")).toBe(false);
    for (const name of before.header.tensors.keys()) {
      expect(tensorBytes(after, name).equals(tensorBytes(before, name)), name).toBe(true);
    }
  });
});

/** A value as a header that holds it is read. */
function decoded(value: Exclude<GgufTypedValue, readonly ["encoded", ...unknown[]]>): GgufValue {
  if (value[0] !== "array") return value[1];
  if (value[1] === "string") return value[2];
  return value[1] === "int32" ? Int32Array.from(value[2]) : Float32Array.from(value[2]);
}

describe.each(REAL_MODELS)("the tokenizer of %s", (name) => {
  test("with six of ten tokens gone cuts every text as the trimmed tokenizer.json does", async () => {
    const metadata = await realMetadata(name);
    const vocabSize = (metadata.get("tokenizer.ggml.tokens") as readonly string[]).length;
    const made = trimVocabulary(tokenizerFilesFromGguf(metadata, name), vocabSize, 0.6, (id) => 1 / (id + 1));
    const origin = { metadata, tokenIds: made.ids, rowsAsStored: () => null, readValue: async () => new Uint8Array() };
    const values = await carriedTokenizerValues(origin);
    const trimmed = new Map<string, GgufValue>(
      [...values].map(([key, value]) => [key, value[0] === "encoded" ? metadata.get(key)! : decoded(value)]),
    );
    expect(trimmed.get("tokenizer.ggml.tokens")).toHaveLength(made.ids.size);
    const tokenizer = createTokenizer(tokenizerFilesFromGguf(trimmed, name), name);
    for (const text of trickyStrings()) expect(tokenizer.encode(text), text).toEqual(made.trimmed.encode(text));
    for (const [key, value] of trimmed) {
      if (!key.endsWith("_token_id")) continue;
      expect(value, key).toBe(made.ids.get(Number(metadata.get(key))));
    }
  });
});

describe("whole layers", () => {
  /** A file of Gemma 3 whose layers slide but for every 6th, said by a boolean for each. */
  const gemma = (layers: number): Uint8Array => {
    const slides = Array.from({ length: layers }, (_, layer) => (layer + 1) % 6 !== 0);
    const pattern = { "gemma3.attention.sliding_window_pattern": ["array", "bool", slides] } as const;
    return quantizedGguf(tinyModel("gemma3", { ...SIZES, numHiddenLayers: layers }), {}, pattern);
  };
  const without = (layers: number, gone: readonly number[]): PrunePlan =>
    planOf(
      "uniform",
      Array.from({ length: layers }, (_, layer): Removed => (gone.includes(layer) ? { layer: [0] } : {})),
    );

  test("those that stay have the input's bytes under their new numbers, and no list has an entry too many", () => {
    const widths = { "llama.feed_forward_length": ["array", "uint32", [96, 96, 96]] } as const;
    const bytes = quantizedGguf(tinyModel("llama", SIZES), {}, widths);
    return cutGguf(bytes, without(3, [1]), async ({ before, after, back }) => {
      expect(after.header.tensors.size).toBe(before.header.tensors.size - 9);
      for (const name of after.header.tensors.keys())
        expect(tensorBytes(after, name).equals(tensorBytes(before, name.replace("blk.1.", "blk.2."))), name).toBe(true);
      expect(after.header.metadata.get("llama.block_count")).toBe(2);
      expect(after.header.metadata.get("llama.feed_forward_length")).toBe(96);
      expect(after.header.metadata.get("general.tags")).toEqual(before.header.metadata.get("general.tags"));
      expect(back.config.numHiddenLayers).toBe(2);
    });
  });

  test.each([
    [7, [2], 5],
    [12, [0, 8], 5],
    [12, [9, 10, 11], 6],
  ])("Gemma's %d without %j: every %dth sees everything", (layers, gone, period) =>
    cutGguf(gemma(layers), without(layers, gone), async ({ after, expert, back }) => {
      expect(after.header.metadata.get("gemma3.attention.sliding_window_pattern")).toBe(period);
      expect(back.config.layerTypes).toEqual(expert.config.layerTypes);
    }),
  );

  test("Gemma's whose sliding ones follow no period any more are refused", async () => {
    await withFile(gemma(12), async (path) => {
      const source = await openGguf(path);
      const plan = without(12, [2]);
      const writing = exportGguf(expertCheckpoint(source, plan, cutExpert(source, plan)), `${path}.out.gguf`);
      await expect(writing).rejects.toMatchObject({
        code: "EXPORT_UNSUPPORTED",
        parts: { found: "sliding layers that follow no period" },
      });
      await source.close();
    });
  });
});

test("a type that is asked for is llama-quantize's, and what has it already is copied", () =>
  withFile(quantizedGguf(tinyModel("llama", SIZES)), async (path) => {
    const source = await openGguf(path);
    const out = `${path}.q8.gguf`;
    const { type } = await exportGguf(source, out, { type: "Q8_0" });
    await source.close();
    expect(type).toBe("Q8_0");
    const [before, after] = [
      { header: await readHeaderOf(path), bytes: await readFile(path) },
      { header: await readHeaderOf(out), bytes: await readFile(out) },
    ];
    expect(after.header.tensors.get("blk.0.attn_q.weight")!.dtype).toBe("Q8_0");
    expect(tensorBytes(after, "blk.0.ffn_up.weight").equals(tensorBytes(before, "blk.0.ffn_up.weight"))).toBe(true);
    expect(after.header.metadata.get("general.file_type")).toBe(7);
    expect(after.header.metadata.get("general.name")).toBe("Tiny");
  }));
