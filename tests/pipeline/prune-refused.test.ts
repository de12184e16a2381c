/** @file Runs that do not finish: refused before any work, or aborted. */

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { PruneOptions } from "../../src/pipeline/prepare-prune.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { preparePrune, SIZES } from "../support/prune-runs.ts";
import { quantizedGguf } from "../support/quantized-gguf.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyModel } from "../support/tiny-models.ts";

describe("before any work", () => {
  test.each<[string, Partial<PruneOptions>, string, RegExp]>([
    ["an invalid budget", { selection: { budget: "lots", layout: "uniform" } }, "BUDGET_INVALID", /lots/],
    ["a budget above the units' parameters", { selection: { budget: "95%", layout: "uniform" } }, "BUDGET_UNREACHABLE", /./],
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
    ["the name of a file instead of a folder", { out: "expert.gguf" }, "USAGE", /--out expert --formats gguf/],
    ["ONNX alone, which cannot be measured", { formats: ["onnx"] }, "USAGE", /--formats hf,onnx/],
    ["a tokenizer that GGUF cannot hold", { formats: ["gguf"] }, "TOKENIZER_UNSUPPORTED", /./],
    ["no corpus", { corpora: {} }, "USAGE", /--language/],
    ["an unknown preset", { corpora: { language: ["klingon"] } }, "PRESET_UNKNOWN", /klingon/],
    ["an unknown model", { model: "nowhere/at/all" }, "MODEL_NAME", /nowhere/],
  ])("%s is refused", (_, changes, code, message) =>
    withFolder(async (folder) => {
      const stages = new Set<string>();
      const options = {
        ...(await preparePrune(folder)),
        ...changes,
        onProgress: ({ stage }: ProgressEvent) => stages.add(stage),
      };
      await expect(pruneModel(options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
      expect(stages.has("scoring")).toBe(false);
      expect(await readdir(folder)).not.toContain("expert");
    }),
  );

  test("layers of different sizes that no architecture of llama.cpp holds are refused", () =>
    withFolder(async (folder) => {
      const stages = new Set<string>();
      const onProgress = ({ stage }: ProgressEvent): unknown => stages.add(stage);
      const selection = { budget: "25% of blocks", layout: "ragged" } as const;
      const options = await preparePrune(folder, { model: join(folder, "tiny.gguf"), formats: ["gguf"], selection, onProgress });
      const sizes = { ...SIZES, hiddenSize: 64, numAttentionHeads: 8, numKeyValueHeads: 4 };
      await writeFile(options.model, quantizedGguf(tinyModel("gemma3", sizes)));
      await expect(pruneModel(options)).rejects.toMatchObject({ code: "EXPORT_UNSUPPORTED" });
      expect(stages.has("scoring")).toBe(false);
    }));

  test("an output folder that holds something is refused before the model is opened", () =>
    withFolder(async (folder) => {
      const options = { ...(await preparePrune(folder)), model: "nowhere/at/all" };
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
      const options = await preparePrune(folder, { overwrite: true });
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
        const options = await preparePrune(folder);
        const onProgress = (event: ProgressEvent): void => (event.stage === stage ? abort.abort() : undefined);
        await expect(pruneModel({ ...options, onProgress, signal: abort.signal })).rejects.toMatchObject({ name: "AbortError" });
        expect((await readdir(folder)).toSorted()).toEqual(["domain.jsonl", "language.jsonl", "model", "work"]);
        expect((await readdir(join(folder, "work"), { recursive: true })).filter((name) => name.includes(".cusprun-"))).toEqual(
          [],
        );
      }),
  );
});
