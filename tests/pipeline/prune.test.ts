/** @file Whole runs on tiny models: the experts that they make. */

import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { loadCorpora } from "../../src/corpora/load.ts";
import { measureHeldOut } from "../../src/evaluation/perplexity.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { preparePrune, SIZES } from "../support/prune-runs.ts";
import { quantizedGguf } from "../support/quantized-gguf.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { TINY_FAMILIES, tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

describe("an expert", () => {
  test("is smaller, measured as it was written, and its card reports the figures", () =>
    withFolder(async (folder) => {
      const options = await preparePrune(folder);
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
      const options = await preparePrune(folder, {
        selection: { budget: "25% of blocks", layout: "ragged", kinds: ["ffn", "head"], snap: 8 },
      });
      const report = await pruneModel(options);
      expect(report.repair).toMatchObject({ documents: 16 });
      expect(report.parameters.after).toBe(report.parameters.before - report.parameters.removed);
      const expert = await openCheckpoint(options.out);
      const [first, second] = expert.config.layerSizes;
      expect(first).not.toEqual(second);
      await expert.close();
      // An expert is a model: it is scored and pruned again.
      const out = join(folder, "smaller");
      const again = await pruneModel({ ...options, model: options.out, out, overwrite: true });
      expect(again.parameters.before).toBe(report.parameters.after);
      expect(again.parameters.after).toBe(again.parameters.before - again.parameters.removed);
    }));

  test("of a GGUF file is a GGUF file again on request, measured as it was written, with a Modelfile next to it", () =>
    withFolder(async (folder) => {
      const sizes = { ...SIZES, hiddenSize: 64, numAttentionHeads: 8, numKeyValueHeads: 4 };
      const options = await preparePrune(folder, { model: join(folder, "tiny.gguf"), formats: ["gguf"] });
      await writeFile(options.model, quantizedGguf(tinyModel("llama", sizes)));
      const report = await pruneModel(options);
      const { size } = await stat(join(options.out, "expert.gguf"));
      expect(report.written).toMatchObject([
        { format: "gguf", label: "GGUF file", after: size, files: ["expert.gguf", "expert.Modelfile"] },
      ]);
      expect(size).toBeLessThan((await stat(options.model)).size);
      expect((await readdir(options.out)).toSorted()).toEqual([
        "README.md",
        "cusprun-files.json",
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

  test("in ONNX and another format has a folder for ONNX, which the expert's card names", () =>
    withFolder(async (folder) => {
      const options = await preparePrune(folder, { formats: ["onnx", "hf"], onnxType: "q4" });
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

  test("in K-quants has FFN widths of whole blocks, unless another snap is given", () =>
    withFolder(async (folder) => {
      const sizes = { ...SIZES, intermediateSize: 768, hiddenSize: 64, numAttentionHeads: 8, numKeyValueHeads: 4 };
      const options = await preparePrune(folder, {
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
      const options = await preparePrune(folder, { selection: { budget: "20% of blocks", layout: "masked" } });
      await writeTinyCheckpoint(options.model, tinyModel(family, SIZES));
      const report = await pruneModel(options);
      expect(report.family).toBe(family);
      expect(report.parameters.after).toBe(report.parameters.before);
      expect(report.dimensions.every(({ expert }) => Number.isFinite(expert?.perplexity))).toBe(true);
    }),
  );

  test("of the paper's rows and columns", () =>
    withFolder(async (folder) => {
      const report = await pruneModel(
        await preparePrune(folder, {
          selection: { budget: "10% of blocks", layout: "masked", granularity: "matrix" },
          measure: false,
        }),
      );
      expect(report.units.every(({ kind }) => kind.startsWith("matrix:"))).toBe(true);
      expect(report.repair).toBeNull();
      expect(report.dimensions.every(({ dense, expert }) => dense === null && expert === null)).toBe(true);
    }));

  test("of a corpus without held-out documents is not measured", () =>
    withFolder(async (folder) => {
      const report = await pruneModel(await preparePrune(folder, { corpusOptions: { documents: 8, heldOutDocuments: 0 } }));
      expect(report.dimensions.map(({ heldOutDocuments, dense }) => [heldOutDocuments, dense])).toEqual([
        [0, null],
        [0, null],
      ]);
    }));
});
