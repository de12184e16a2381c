/** @file The whole way on tiny models: what comes out, what is refused before any work, and what a second run does not do again. */

import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { loadCorpora } from "../../src/corpora/load.ts";
import { measureHeldOut } from "../../src/evaluation/perplexity.ts";
import { pruneModel, type PruneOptions } from "../../src/pipeline/prune.ts";
import { applyPlan, scoreModel, selectFromScores } from "../../src/pipeline/steps.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { PLAN_FILE_NAME } from "../../src/export/expert-folder.ts";
import { quantizedGguf } from "../support/quantized-gguf.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { TINY_FAMILIES, tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

const SIZES = { intermediateSize: 128, numHiddenLayers: 2 };

/** A folder with a tiny model, two corpora, and options that make an expert of them. */
async function prepare(folder: string, changes: Partial<PruneOptions> = {}): Promise<PruneOptions> {
  const model = join(folder, "model");
  await writeTinyCheckpoint(model, tinyModel("llama", SIZES), "BF16");
  return {
    model,
    corpora: {
      language: [await writeTinyCorpus(join(folder, "language.jsonl"), { seed: 1 })],
      domain: [await writeTinyCorpus(join(folder, "domain.jsonl"), { seed: 2, vocabulary: 12 })],
    },
    corpusOptions: { documents: 8, heldOutDocuments: 3 },
    selection: { budget: "25% of blocks", layout: "uniform" },
    out: join(folder, "expert"),
    work: join(folder, "work"),
    ...changes,
  };
}

/** The stages that a run went through. */
async function stagesOf(options: PruneOptions): Promise<Set<string>> {
  const stages = new Set<string>();
  await pruneModel({ ...options, onProgress: ({ stage }: ProgressEvent) => stages.add(stage) });
  return stages;
}

describe("an expert", () => {
  test("is smaller, measured as it was written, and says so in its card", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      const report = await pruneModel(options);
      expect(report).toMatchObject({ family: "llama", layers: 2, layout: "uniform", budget: "25% of blocks", out: options.out });
      expect(report.parameters.after).toBe(report.parameters.before - report.parameters.removed);
      expect(report.parameters.removed).toBeGreaterThan(0);
      const bytes = { before: 2 * report.parameters.before, after: 2 * report.parameters.after };
      expect(report.written).toMatchObject([{ format: "hf", label: "weights in BF16", ...bytes }]);
      expect(report.units).toEqual([{ kind: "ffn", before: [128, 128], removedPerLayer: [32, 32] }]);
      expect(Object.keys(report.overlap)).toEqual(["language∩domain"]);
      expect(report.scores.reused).toBe(false);
      expect(report.repair).toMatchObject({ documents: 16, tried: 4 });

      const expert = await openCheckpoint(options.out);
      expect(expert.config.layerSizes.map(({ intermediateSize }) => intermediateSize)).toEqual([96, 96]);
      const tokenizer = createTokenizer((await expert.readTokenizerFiles())!, options.out);
      const corpora = await loadCorpora(options.corpora, tokenizer, options.corpusOptions);
      const again = await measureHeldOut(expert, corpora, {});
      await expert.close();
      const card = await readFile(join(options.out, "README.md"), "utf8");
      for (const { dimension, label, calibrationDocuments, heldOutDocuments, dense, expert: figure } of report.dimensions) {
        expect({ label, calibrationDocuments, heldOutDocuments }).toEqual({
          label: `${dimension}.jsonl`,
          calibrationDocuments: 8,
          heldOutDocuments: 3,
        });
        expect(figure?.perplexity).toBeCloseTo(again[dimension]!.perplexity, 6);
        expect(figure?.tokenCount).toBe(3 * 39);
        expect(card).toContain(`| ${dense?.perplexity.toFixed(2)} | ${figure?.perplexity.toFixed(2)} |`);
      }
      expect(card).not.toContain(folder);
      expect((await readdir(folder)).toSorted()).toEqual(["domain.jsonl", "expert", "language.jsonl", "model", "work"]);
    }));

  test("whose layers differ in size is repaired, measured and reopened", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder, {
        selection: { budget: "25% of blocks", layout: "ragged", kinds: ["ffn", "head"], snap: 8 },
      });
      const report = await pruneModel(options);
      expect(report.repair).toMatchObject({ documents: 16 });
      expect(report.parameters.after).toBe(report.parameters.before - report.parameters.removed);
      const expert = await openCheckpoint(options.out);
      const [first, second] = expert.config.layerSizes;
      expect(first).not.toEqual(second);
      await expert.close();
      // An expert is a model: made smaller once more, from scoring on.
      const out = join(folder, "smaller");
      const again = await pruneModel({ ...options, model: options.out, out, overwrite: true });
      expect(again.parameters.before).toBe(report.parameters.after);
      expect(again.parameters.after).toBe(again.parameters.before - again.parameters.removed);
    }));

  test("of a GGUF file is one again where that is asked for, measured as it was written, with a Modelfile beside it", () =>
    withFolder(async (folder) => {
      const sizes = { ...SIZES, hiddenSize: 64, numAttentionHeads: 8, numKeyValueHeads: 4 };
      const options = await prepare(folder, { model: join(folder, "tiny.gguf"), formats: ["gguf"] });
      await writeFile(options.model, quantizedGguf(tinyModel("llama", sizes)));
      const report = await pruneModel(options);
      const { size } = await stat(join(options.out, "expert.gguf"));
      expect(report.written).toMatchObject([
        { format: "gguf", label: "GGUF file", after: size, files: ["expert.gguf", "expert.Modelfile"] },
      ]);
      expect(size).toBeLessThan((await stat(options.model)).size);
      expect((await readdir(options.out)).toSorted()).toEqual([
        "README.md",
        "cusprun-plan.json",
        "expert.Modelfile",
        "expert.gguf",
      ]);
      expect(report.dimensions.every(({ expert }) => Number.isFinite(expert?.perplexity))).toBe(true);
      expect(await readFile(join(options.out, "README.md"), "utf8")).toMatch(/library_name: gguf[^]*llama-cli -m "expert\.gguf"/);

      const both = await pruneModel({ ...options, out: join(folder, "both"), formats: ["gguf", "hf"], type: "Q8_0" });
      expect(both.written.map(({ format, label }) => ({ format, label }))).toEqual([
        { format: "hf", label: "weights in BF16" },
        { format: "gguf", label: "GGUF file, Q8_0" },
      ]);
    }));

  test("in ONNX beside another form has a folder of its own, which the expert's card names", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder, { formats: ["onnx", "hf"], onnxType: "q4" });
      const { written } = await pruneModel(options);
      expect(written.map(({ format, label }) => ({ format, label }))).toEqual([
        { format: "hf", label: "weights in BF16" },
        { format: "onnx", label: "ONNX, q4" },
      ]);
      const part = join(options.out, "transformers.js");
      expect((await readdir(part)).toSorted()).toEqual([
        "config.json",
        "generation_config.json",
        "onnx",
        "tokenizer.json",
        "tokenizer_config.json",
      ]);
      expect(await readdir(join(part, "onnx"))).toEqual(["model_q4.onnx"]);
      expect(await readFile(join(options.out, "README.md"), "utf8")).toContain(
        'pipeline("text-generation", "./FOLDER/transformers.js")',
      );
    }));

  test("that becomes K-quants keeps FFN widths that are whole blocks of them, unless another snap is asked for", () =>
    withFolder(async (folder) => {
      const sizes = { ...SIZES, intermediateSize: 768, hiddenSize: 64, numAttentionHeads: 8, numKeyValueHeads: 4 };
      const options = await prepare(folder, {
        model: join(folder, "tiny.gguf"),
        formats: ["gguf"],
        type: "Q4_K_M",
        measure: false,
      });
      await writeFile(options.model, quantizedGguf(tinyModel("llama", sizes)));
      const { units } = await pruneModel(options);
      expect(units).toMatchObject([{ removedPerLayer: [256, 256] }]);
      const selection = { ...options.selection, snap: 32 };
      const fine = await pruneModel({ ...options, selection, overwrite: true });
      expect(fine.units[0]!.removedPerLayer[0]! % 256).not.toBe(0);
    }));

  test.each(TINY_FAMILIES)("of every family: %s, masked", (family) =>
    withFolder(async (folder) => {
      const options = await prepare(folder, { selection: { budget: "20% of blocks", layout: "masked" } });
      await writeTinyCheckpoint(options.model, tinyModel(family, SIZES));
      const report = await pruneModel(options);
      expect(report.family).toBe(family);
      expect(report.parameters.after).toBe(report.parameters.before);
      expect(report.dimensions.every(({ expert }) => Number.isFinite(expert?.perplexity))).toBe(true);
    }),
  );

  test("of the paper's own neurons", () =>
    withFolder(async (folder) => {
      const report = await pruneModel(
        await prepare(folder, {
          selection: { budget: "10% of blocks", layout: "masked", granularity: "matrix" },
          measure: false,
        }),
      );
      expect(report.units.every(({ kind }) => kind.startsWith("matrix:"))).toBe(true);
      expect(report.repair).toBeNull();
      expect(report.dimensions.every(({ dense, expert }) => dense === null && expert === null)).toBe(true);
    }));

  test("of a corpus that cannot hold anything back is not measured", () =>
    withFolder(async (folder) => {
      const report = await pruneModel(await prepare(folder, { corpusOptions: { documents: 8, heldOutDocuments: 0 } }));
      expect(report.dimensions.map(({ heldOutDocuments, dense }) => [heldOutDocuments, dense])).toEqual([
        [0, null],
        [0, null],
      ]);
    }));
});

describe("a finished step", () => {
  let first: Set<string>;
  let again: Record<string, Set<string>>;

  beforeAll(() =>
    withFolder(async (folder) => {
      const options = { ...(await prepare(folder)), overwrite: true };
      first = await stagesOf(options);
      again = {
        same: await stagesOf(options),
        "another budget": await stagesOf({ ...options, selection: { budget: "35% of blocks", layout: "uniform" } }),
        "another layout": await stagesOf({ ...options, selection: { budget: "25% of blocks", layout: "masked" } }),
        "fewer dimensions": await stagesOf({ ...options, corpora: { domain: options.corpora.domain! } }),
        "more kinds": await stagesOf({
          ...options,
          selection: { budget: "25% of blocks", layout: "masked", kinds: ["ffn", "head"] },
        }),
        "fewer documents": await stagesOf({ ...options, corpusOptions: { documents: 6, heldOutDocuments: 3 } }),
      };
      await damage(join(folder, "work"));
      again["damaged scores"] = await stagesOf(options);
      await writeTinyCheckpoint(options.model, tinyModel("llama", { ...SIZES, seed: 2 }), "BF16");
      again["another model in the same place"] = await stagesOf(options);
    }),
  );

  test("is done by the first run", () => {
    expect([...first]).toEqual(
      expect.arrayContaining(["scoring", "selecting", "measuring the dense model", "writing", "measuring the expert"]),
    );
  });

  test.each([
    ["same", false, false],
    ["another budget", false, false],
    ["another layout", false, false],
    ["fewer dimensions", false, false],
    ["more kinds", true, false],
    ["fewer documents", true, false],
    ["damaged scores", true, false],
    ["another model in the same place", true, true],
  ])("%s: scored again %s, dense model measured again %s", (run, scored, measured) => {
    expect({ scored: again[run]!.has("scoring"), measured: again[run]!.has("measuring the dense model") }).toEqual({
      scored,
      measured,
    });
  });
});

/** Cuts every scores file in half. */
async function damage(work: string): Promise<void> {
  for (const name of await readdir(work, { recursive: true })) {
    const path = join(work, name);
    if (name.endsWith(".safetensors")) await writeFile(path, (await readFile(path)).subarray(0, (await stat(path)).size / 2));
  }
}

test("a finished repair is not done again, and only the newest is kept", () =>
  withFolder(async (folder) => {
    const options = await prepare(folder);
    const abort = new AbortController();
    const onProgress = ({ stage }: ProgressEvent): void => (stage === "writing" ? abort.abort() : undefined);
    await expect(pruneModel({ ...options, onProgress, signal: abort.signal })).rejects.toMatchObject({ name: "AbortError" });
    expect(await stagesOf(options)).not.toContain("repairing");
    const again = { ...options, overwrite: true };
    expect(await stagesOf(again)).not.toContain("repairing");
    const repairs = async (): Promise<string[]> =>
      (await readdir(join(folder, "work"), { recursive: true })).filter((name) => name.includes("repair-"));
    const first = await repairs();
    expect(first).toHaveLength(1);
    expect(await stagesOf({ ...again, selection: { budget: "35% of blocks", layout: "uniform" } })).toContain("repairing");
    expect(await repairs()).toHaveLength(1);
    expect(await repairs()).not.toEqual(first);
  }));

describe("before any work", () => {
  test.each<[string, Partial<PruneOptions>, string, RegExp]>([
    ["a budget that is none", { selection: { budget: "lots", layout: "uniform" } }, "BUDGET_INVALID", /lots/],
    ["a budget over what the units hold", { selection: { budget: "95%", layout: "uniform" } }, "BUDGET_UNREACHABLE", /./],
    [
      "a layout that cannot hold the units",
      { selection: { budget: "5%", layout: "uniform", kinds: ["value-dim"] } },
      "LAYOUT_UNSUPPORTED",
      /value-dim/,
    ],
    [
      "a weight of a dimension that was not chosen",
      { selection: { budget: "5%", layout: "uniform", weights: { task: 2 } } },
      "SELECTION_INVALID",
      /task/,
    ],
    ["the name of a file for the folder", { out: "expert.gguf" }, "USAGE", /--out expert --formats gguf/],
    ["ONNX alone, which cannot be measured", { formats: ["onnx"] }, "USAGE", /--formats hf,onnx/],
    ["a tokenizer that no GGUF holds", { formats: ["gguf"] }, "TOKENIZER_UNSUPPORTED", /./],
    ["no corpus", { corpora: {} }, "USAGE", /--language/],
    ["a preset that is none", { corpora: { language: ["klingon"] } }, "PRESET_UNKNOWN", /klingon/],
    ["a model that is not there", { model: "nowhere/at/all" }, "MODEL_NAME", /nowhere/],
  ])("%s is refused", (_, changes, code, message) =>
    withFolder(async (folder) => {
      const stages = new Set<string>();
      const options = { ...(await prepare(folder)), ...changes, onProgress: ({ stage }: ProgressEvent) => stages.add(stage) };
      await expect(pruneModel(options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
      expect(stages.has("scoring")).toBe(false);
      expect(await readdir(folder)).not.toContain("expert");
    }),
  );

  test("layers of unlike size that no architecture of llama.cpp holds are refused", () =>
    withFolder(async (folder) => {
      const stages = new Set<string>();
      const onProgress = ({ stage }: ProgressEvent): unknown => stages.add(stage);
      const selection = { budget: "25% of blocks", layout: "ragged" } as const;
      const options = await prepare(folder, { model: join(folder, "tiny.gguf"), formats: ["gguf"], selection, onProgress });
      const sizes = { ...SIZES, hiddenSize: 64, numAttentionHeads: 8, numKeyValueHeads: 4 };
      await writeFile(options.model, quantizedGguf(tinyModel("gemma3", sizes)));
      await expect(pruneModel(options)).rejects.toMatchObject({ code: "EXPORT_UNSUPPORTED" });
      expect(stages.has("scoring")).toBe(false);
    }));

  test("an output folder that holds something is refused before the model is opened", () =>
    withFolder(async (folder) => {
      const options = { ...(await prepare(folder)), model: "nowhere/at/all" };
      await mkdir(options.out);
      await writeFile(join(options.out, "thesis.tex"), "three years of work");
      await expect(pruneModel(options)).rejects.toMatchObject({
        code: "OUTPUT_EXISTS",
        parts: { remedy: expect.stringContaining("--overwrite") as string },
      });
      expect(await readFile(join(options.out, "thesis.tex"), "utf8")).toBe("three years of work");
    }));

  test.each(["model", "."])("an output that would replace the model (%s) is refused, even with overwrite", (out) =>
    withFolder(async (folder) => {
      const options = await prepare(folder, { overwrite: true });
      await expect(pruneModel({ ...options, out: join(folder, out) })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      expect(await readdir(options.model)).toContain("model.safetensors");
    }),
  );
});

describe("an abort", () => {
  test.each(["scoring", "measuring the dense model", "repairing", "writing", "measuring the expert"])(
    "while %s leaves nothing",
    (stage) =>
      withFolder(async (folder) => {
        const abort = new AbortController();
        const options = await prepare(folder);
        const onProgress = (event: ProgressEvent): void => (event.stage === stage ? abort.abort() : undefined);
        await expect(pruneModel({ ...options, onProgress, signal: abort.signal })).rejects.toMatchObject({ name: "AbortError" });
        expect((await readdir(folder)).toSorted()).toEqual(["domain.jsonl", "language.jsonl", "model", "work"]);
        expect((await readdir(join(folder, "work"), { recursive: true })).filter((name) => name.includes(".cusprun-"))).toEqual(
          [],
        );
      }),
  );
});

describe("the steps one by one", () => {
  test.each([true, false])("give the same weights and plan as all in one, repaired: %s", (repair) =>
    withFolder(async (folder) => {
      const whole = await prepare(folder, { repair });
      await pruneModel(whole);
      const { model, corpora, corpusOptions, selection } = whole;
      const [scores, plan, out] = [join(folder, "scores.safetensors"), join(folder, "plan.json"), join(folder, "stepwise")];
      const scored = await scoreModel({ model, corpora, corpusOptions: corpusOptions!, selection, out: scores });
      const memory = { stages: [{ stage: "scoring", spills: false }] };
      expect(scored).toMatchObject({ out: scores, kinds: ["ffn"], documents: { language: 8, domain: 8 }, memory });
      const selected = await selectFromScores({ scores, selection, out: plan });
      expect(selected).toMatchObject({ out: plan, units: [{ kind: "ffn", before: [128, 128], removedPerLayer: [32, 32] }] });
      const written = await applyPlan({
        model,
        plan,
        out,
        ...(repair && { corpora, corpusOptions: corpusOptions!, work: whole.work! }),
      });
      expect(written).toMatchObject({ out, parts: [{ dtype: "BF16" }], repair: repair ? { documents: 16, tried: 4 } : null });
      for (const name of ["model.safetensors", "config.json", "tokenizer.json", PLAN_FILE_NAME]) {
        expect(await readFile(join(out, name)), name).toEqual(await readFile(join(whole.out, name)));
      }
      expect(await readFile(join(out, "README.md"), "utf8")).toContain("not recorded");
    }),
  );

  test("refuse to replace a file unasked", () =>
    withFolder(async (folder) => {
      const { model, corpora, selection } = await prepare(folder);
      const out = join(folder, "language.jsonl");
      await expect(scoreModel({ model, corpora, out })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      await expect(selectFromScores({ scores: "nowhere", selection, out })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      await expect(selectFromScores({ scores: "nowhere", selection, out: folder, overwrite: true })).rejects.toMatchObject({
        code: "OUTPUT_EXISTS",
      });
    }));
});
