/**
 * @file Prunes a quantised GGUF file of every tiny family to a Hugging Face folder and a GGUF file, uniform and ragged,
 * and verifies them in every installed runtime; does the same with SmolLM2's 4-bit file, which must write sensible
 * text.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openGguf } from "../../src/checkpoint/gguf/open-gguf.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { applyPlan } from "../../src/pipeline/steps.ts";
import { verifyExpert } from "../../src/pipeline/verify.ts";
import { writePlan } from "../../src/selection/plan-file.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { planOf, type Removed } from "../support/plans.ts";
import { quantizedGguf } from "../support/quantized-gguf.ts";
import { realModel } from "../support/real-models.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { TINY_FAMILIES, tinyModel } from "../support/tiny-models.ts";
import { trimVocabulary } from "../support/trimmed-vocabularies.ts";
import { runLlamaCpp } from "./llama-cpp.ts";

const before = process.env["CUSPRUN_RUNTIMES"];
beforeAll(() => {
  process.env["CUSPRUN_RUNTIMES"] = process.env["CUSPRUN_LLAMA_CPP"];
});
afterAll(() => {
  if (before === undefined) delete process.env["CUSPRUN_RUNTIMES"];
  else process.env["CUSPRUN_RUNTIMES"] = before;
});

/** F 96, H 8, G 4 of K 8, D 64. The number of kept heads divides D, as transformers requires of Llama and Gemma 3. */
const SIZES = { hiddenSize: 64, intermediateSize: 96, numAttentionHeads: 8, numKeyValueHeads: 4, headDim: 8, tied: true };
const units = (count: number, step: number): number[] => Array.from({ length: count }, (_, i) => i * step);
const UNIFORM: Removed = { ffn: units(32, 3), "kv-group": [0, 2] };
const RAGGED: readonly Removed[] = [
  { ffn: units(32, 2), "kv-group": [1] },
  { ffn: units(64, 1), "kv-group": [0, 3] },
  { ffn: units(32, 3) },
];

const cases = TINY_FAMILIES.flatMap((family) => (["uniform", "ragged"] as const).map((layout) => ({ family, layout }))).filter(
  ({ family, layout }) => !(family === "gemma3" && layout === "ragged"),
);

test.each(cases)("$family, $layout: transformers and llama.cpp agree", ({ family, layout }) =>
  withFolder(async (folder) => {
    const [model, plan, out] = ["tiny.gguf", "plan.json", "expert"].map((name) => join(folder, name)) as [string, string, string];
    await writeFile(model, quantizedGguf(tinyModel(family, SIZES)));
    await writePlan(plan, planOf(layout, layout === "uniform" ? [UNIFORM, UNIFORM, UNIFORM] : RAGGED));
    const { files } = await applyPlan({ model, plan, out, formats: ["hf", "gguf"] });
    expect(files).toEqual(expect.arrayContaining(["expert.gguf", "expert.Modelfile", "model.safetensors", "cusprun-plan.json"]));
    const { verifications, agrees } = await verifyExpert({ expert: out, trustRemoteCode: layout === "ragged" });
    expect(verifications.map(({ part, status, reason }) => ({ part, status, reason }))).toEqual([
      { part: "safetensors", status: "agrees", reason: null },
      { part: "expert.gguf", status: "agrees", reason: null },
    ]);
    expect(agrees).toBe(true);
    if (layout === "ragged") {
      const { verifications: untrusted } = await verifyExpert({ expert: out });
      expect(untrusted[0]).toMatchObject({ status: "failed", reason: expect.stringContaining("--trust-remote-code") });
    }
  }),
);

describe.each(["uniform", "ragged"] as const)("SmolLM2, %s", (layout) => {
  test("becomes a smaller GGUF file with the same types, with which llama.cpp writes sensible text", () =>
    withFolder(async (folder) => {
      const model = await realModel("smollm2");
      const out = join(folder, "medical");
      const report = await pruneModel({
        model,
        corpora: { language: ["en"], domain: ["medical"] },
        corpusOptions: { documents: 16, heldOutDocuments: 4, maxTokens: 128 },
        selection: { budget: "20% of blocks", layout, vocabulary: "keep" },
        formats: ["gguf"],
        out,
        work: join(folder, "work"),
      });
      const [part] = report.written;
      expect(part).toMatchObject({ format: "gguf", files: ["medical.gguf", "medical.Modelfile"] });
      // Blocks are 79% of the parameters and 5 bits each, the embedding 8.5.
      expect(part!.after / part!.before!).toBeLessThan(0.9);
      const file = join(out, "medical.gguf");
      const expert = await openCheckpoint(file);
      const dtypes = new Set([...expert.tensors.values()].map(({ dtype }) => dtype));
      await expert.close();
      expect([...dtypes].toSorted()).toEqual(["F32", "Q4_1", "Q8_0"]);
      const { verifications } = await verifyExpert({ expert: file });
      expect(verifications).toMatchObject([{ runtime: "llama.cpp", status: "agrees" }]);
      const { text } = await runLlamaCpp<{ text: string }>(file, {
        texts: [],
        prompt: "Diabetes mellitus is a disease in which",
      });
      // Words of letters, and not a single word repeated.
      const words = text.toLowerCase().match(/[a-z]{2,}/g) ?? [];
      expect(new Set(words).size, text).toBeGreaterThan(5);
    }));
});

test("SmolLM2 without 60% of its tokens: the embedding has the input's bytes, llama.cpp tokenises and computes the same", () =>
  withFolder(async (folder) => {
    const model = await realModel("smollm2");
    const dense = await openGguf(model);
    const { vocabSize: size, numHiddenLayers } = dense.config;
    const { ids } = trimVocabulary((await dense.readTokenizerFiles())!, size, 0.6, (id) => 1 / (id + 1));
    const removed = Array.from({ length: size }, (_, id) => id).filter((id) => !ids.has(id));
    const layers = Array.from({ length: numHiddenLayers }, (): Removed => ({}));
    const [plan, out] = [join(folder, "plan.json"), join(folder, "expert")];
    await writePlan(plan, planOf("uniform", layers, { vocabulary: { size, removed, splits: {} } }));
    await applyPlan({ model, plan, out, formats: ["gguf"] });

    const expert = await openGguf(join(out, "expert.gguf"));
    const [before, after] = [dense, expert].map(({ gguf }) => gguf!.rowsAsStored("model.embed_tokens.weight")!);
    for (const [old, renumbered] of [...ids].filter((_, index) => index % 997 === 0)) {
      const row = await after!({ start: renumbered, end: renumbered + 1 });
      expect(row).toEqual(await before!({ start: old, end: old + 1 }));
    }
    await dense.close();
    await expert.close();
    const { verifications } = await verifyExpert({ expert: out });
    expect(verifications).toMatchObject([{ status: "agrees", comparison: { sameTokens: true } }]);
  }));
