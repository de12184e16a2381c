import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../../src/checkpoint/open.ts";
import { outputDType, writeHuggingFaceFolder } from "../../../src/export/hugging-face/write-hugging-face.ts";
import type { HuggingFaceOptions } from "../../../src/export/hugging-face/write-hugging-face.ts";
import { exportModel } from "../../../src/pipeline/export.ts";
import { PIECE_VALUES } from "../../../src/export/row-pieces.ts";
import { narrowFromFloat32 } from "../../../src/float-convert.ts";
import { readPlan } from "../../../src/selection/plan-file.ts";
import { cutExpert } from "../../../src/surgery/expert.ts";
import { elementCount } from "../../../src/tensor.ts";
import { cardInput } from "../../support/cards.ts";
import { planOf } from "../../support/plans.ts";
import { quantizedGguf } from "../../support/quantized-gguf.ts";
import { TINY_FAMILIES, tinyBytes, tinyCheckpoint, tinyModel } from "../../support/tiny-models.ts";

let home: string;
let out: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "cusprun-export-"));
  out = join(home, "expert");
});
afterEach(() => rm(home, { recursive: true, force: true }));

const NOTHING = planOf("uniform", [{}, {}, {}]);
const FFN = planOf("uniform", [
  { ffn: [0, 1, 2, 3, 4, 5, 6, 7] },
  { ffn: [8, 9, 10, 11, 12, 13, 14, 15] },
  { ffn: [32, 33, 34, 35, 36, 37, 38, 39] },
]);

async function write(
  checkpoint: Checkpoint,
  options: Partial<HuggingFaceOptions> = {},
): ReturnType<typeof writeHuggingFaceFolder> {
  const plan = options.plan ?? NOTHING;
  const tokenizer = await checkpoint.readTokenizerFiles();
  return writeHuggingFaceFolder(cutExpert(checkpoint, plan), tokenizer, out, {
    plan,
    card: cardInput(checkpoint.config),
    ...options,
  });
}

async function readJson(name: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(out, name), "utf8")) as Record<string, unknown>;
}

it("is written of a model without a cut, a GGUF file too", async () => {
  const gguf = join(home, "tiny.gguf");
  await writeFile(
    gguf,
    quantizedGguf(tinyModel("llama", { hiddenSize: 64, intermediateSize: 96, numAttentionHeads: 8, numKeyValueHeads: 4 })),
  );
  const written = await exportModel({ model: gguf, to: "safetensors", type: "F32", out });
  expect(written).toMatchObject({
    to: "safetensors",
    type: "F32",
    files: expect.arrayContaining(["model.safetensors"]) as string[],
  });
  const [before, after] = [await openCheckpoint(gguf), await openCheckpoint(out)];
  expect([...after.tensors.keys()].toSorted()).toEqual([...before.tensors.keys()].toSorted());
  for (const name of before.tensors.keys()) expect(await after.readFloat32(name)).toEqual(await before.readFloat32(name));
  await before.close();
  await after.close();
  const unknown = exportModel({ model: gguf, to: "safetensors", type: "q4", out: join(home, "other") });
  await expect(unknown).rejects.toMatchObject({ code: "USAGE" });
});

describe("writeHuggingFaceFolder", () => {
  it.each(TINY_FAMILIES.flatMap((family) => (["F32", "BF16"] as const).map((dtype) => [family, dtype] as const)))(
    "%s in %s, nothing pruned: reads back with every tensor's bytes, config and tokenizer as they were",
    async (family, dtype) => {
      const model = tinyModel(family);
      const checkpoint = tinyCheckpoint(model, dtype);
      const written = await write(checkpoint);
      expect(written.dtype).toBe(dtype);
      const back = await openCheckpoint(out);
      try {
        expect(back.config).toEqual(model.config);
        expect([...back.tensors.keys()].toSorted()).toEqual([...model.tensors.keys()].toSorted());
        for (const [name, { values }] of model.tensors)
          expect(Buffer.from(await back.readBytes(name))).toEqual(Buffer.from(tinyBytes(values, dtype)));
        for (const [name, bytes] of (await checkpoint.readTokenizerFiles())!.files)
          expect(await readFile(join(out, name))).toEqual(Buffer.from(bytes));
        expect((await back.readTokenizerFiles())?.tokenizerConfig).toEqual(
          (await checkpoint.readTokenizerFiles())?.tokenizerConfig,
        );
        expect(back.generationConfigJson).toEqual(checkpoint.generationConfigJson);
      } finally {
        await back.close();
      }
    },
  );

  it("writes every file that stock transformers wants, the card and the plan", async () => {
    const written = await write(tinyCheckpoint(tinyModel("qwen2")), { plan: FFN });
    const names = [
      "README.md",
      "config.json",
      "cusprun-files.json",
      "cusprun-plan.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ];
    expect((await readdir(out)).toSorted()).toEqual(names);
    expect([...written.files].toSorted()).toEqual(names);
    expect(await readJson("config.json")).toMatchObject({ intermediate_size: 32, torch_dtype: "float32", model_type: "qwen2" });
    expect(await readPlan(join(out, "cusprun-plan.json"))).toEqual(FFN);
    expect(await readFile(join(out, "README.md"), "utf8")).toContain("# tiny-en-medical");
  });

  it("shards past the size, with an index", async () => {
    const written = await write(tinyCheckpoint(tinyModel("llama")), { maxShardBytes: 20_000 });
    const shards = written.files.filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name));
    expect(shards.length).toBeGreaterThan(2);
    const index = (await readJson("model.safetensors.index.json")) as {
      metadata: { total_size: number };
      weight_map: Record<string, string>;
    };
    expect(index.metadata.total_size).toBe(written.weightBytes);
    expect(new Set(Object.values(index.weight_map))).toEqual(new Set(shards));
  });

  it("converts to the dtype that is asked for, norms too, and says so in config.json", async () => {
    const model = tinyModel("gemma3");
    const written = await write(tinyCheckpoint(model, "F32"), { dtype: "BF16" });
    const back = await openCheckpoint(out);
    expect([...back.tensors.values()].every((tensor) => tensor.dtype === "BF16")).toBe(true);
    for (const [name, { values }] of model.tensors)
      expect(Buffer.from(await back.readBytes(name))).toEqual(Buffer.from(tinyBytes(values, "BF16")));
    await back.close();
    expect(await readJson("config.json")).toMatchObject({ torch_dtype: "bfloat16" });
    expect(written.weightBytes).toBe(2 * written.parameters);
  });

  it.each(["F32", "BF16"] as const)(
    "writes matrices of several pieces, cut and stored in %s, as they are read whole",
    async (dtype) => {
      const units = (2 * PIECE_VALUES) / 16;
      const checkpoint = tinyCheckpoint(tinyModel("llama", { intermediateSize: units, numHiddenLayers: 1 }), dtype);
      // The first and the last row of a piece, and a range across its end.
      const plan = planOf("uniform", [{ ffn: [0, units / 2 - 2, units / 2 - 1, units / 2, units - 1] }]);
      const expert = cutExpert(checkpoint, plan);
      const big = expert.tensors.filter(({ shape }) => elementCount(shape) > PIECE_VALUES);
      expect(big.map(({ name }) => name.split(".").at(-2))).toEqual(["gate_proj", "up_proj", "down_proj"]);
      for (const written of ["F32", "BF16"] as const) {
        await write(checkpoint, { plan, dtype: written, overwrite: true });
        const back = await openCheckpoint(out);
        for (const tensor of big) {
          const whole = narrowFromFloat32(await tensor.readFloat32(), written);
          expect(Buffer.from(await back.readBytes(tensor.name)).equals(whole), tensor.name).toBe(true);
        }
        await back.close();
      }
    },
  );

  it("keeps to the key `dtype` where the config has it", async () => {
    const checkpoint = tinyCheckpoint(tinyModel("llama"));
    const { torch_dtype: _, ...configJson } = checkpoint.configJson;
    await write({ ...checkpoint, configJson: { ...configJson, dtype: "float32" } }, { dtype: "F16" });
    const config = await readJson("config.json");
    expect(config).toMatchObject({ dtype: "float16" });
    expect(config).not.toHaveProperty("torch_dtype");
  });

  it("refuses values outside of F16, names the tensor, and leaves nothing behind", async () => {
    const model = tinyModel("llama");
    model.tensors.get("model.norm.weight")!.values[3] = 70_000;
    await expect(write(tinyCheckpoint(model), { dtype: "F16" })).rejects.toMatchObject({
      code: "OUTPUT_DTYPE",
      message: expect.stringMatching(/tensor 'model\.norm\.weight': found the value 70000.*65504.*--dtype bf16/),
    });
    expect(await readdir(home)).toEqual([]);
  });

  it("replaces a folder only with `overwrite`, and only if it wrote all that is in it", async () => {
    await mkdir(out);
    await writeFile(join(out, "precious.txt"), "mine");
    const checkpoint = tinyCheckpoint(tinyModel("llama"));
    await expect(write(checkpoint)).rejects.toMatchObject({
      code: "OUTPUT_EXISTS",
      message: expect.stringContaining("--overwrite"),
    });
    expect(await readdir(out)).toEqual(["precious.txt"]);
    expect(checkpoint.reads).toEqual([]);
    await expect(write(checkpoint, { overwrite: true })).rejects.toMatchObject({
      code: "OUTPUT_EXISTS",
      parts: { found: expect.stringContaining("precious.txt") },
    });
    await rm(join(out, "precious.txt"));
    await write(checkpoint);
    await expect(write(checkpoint)).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
    const before = await stat(join(out, "model.safetensors"));
    await write(checkpoint, { overwrite: true });
    expect((await stat(join(out, "model.safetensors"))).ino).not.toBe(before.ino);
    await writeFile(join(out, "precious.txt"), "mine");
    await expect(write(checkpoint, { overwrite: true })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
    expect(await readFile(join(out, "precious.txt"), "utf8")).toBe("mine");
  });

  it("stops when it is aborted and leaves nothing behind", async () => {
    const abort = new AbortController();
    const onProgress = (): void => abort.abort(new Error("stop"));
    await expect(write(tinyCheckpoint(tinyModel("llama")), { signal: abort.signal, onProgress })).rejects.toThrow("stop");
    expect(await readdir(home)).toEqual([]);
  });

  it("does without a tokenizer and a generation config", async () => {
    const checkpoint: Checkpoint = {
      ...tinyCheckpoint(tinyModel("llama")),
      generationConfigJson: null,
      readTokenizerFiles: () => Promise.resolve(null),
    };
    const written = await write(checkpoint);
    expect([...written.files].toSorted()).toEqual([
      "README.md",
      "config.json",
      "cusprun-files.json",
      "cusprun-plan.json",
      "model.safetensors",
    ]);
    expect(await readFile(join(out, "README.md"), "utf8")).toContain("comes without a tokenizer");
  });
});

describe("outputDType", () => {
  it("is the dtype of most elements, and BF16 where anything is quantised", () => {
    const norm = { dtype: "F32", shape: [30] } as const;
    expect(outputDType([{ dtype: "F16", shape: [30, 30] }, norm])).toBe("F16");
    expect(outputDType([{ dtype: "BF16", shape: [30, 30] }, norm])).toBe("BF16");
    expect(outputDType([norm])).toBe("F32");
    expect(outputDType([{ dtype: "F16", shape: [30, 30] }, norm, { dtype: "Q4_K", shape: [1, 256] }])).toBe("BF16");
  });
});
