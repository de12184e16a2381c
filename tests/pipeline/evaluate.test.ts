/** @file Evaluation of tiny models from file to report. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ItemScore } from "../../src/evaluation/item-scores.ts";
import { evaluateModel } from "../../src/pipeline/evaluate.ts";
import { errorOf } from "../support/temporary-gguf.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { writeTinyTasks, type TinyTasks } from "../support/tiny-tasks.ts";

function withModels(use: (model: string, other: string, tasks: TinyTasks, folder: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const [model, other] = [join(folder, "model"), join(folder, "other")];
    await writeTinyCheckpoint(model, tinyModel("llama"));
    await writeTinyCheckpoint(other, tinyModel("qwen2", { seed: 2 }));
    await use(model, other, await writeTinyTasks(folder), folder);
  });
}

describe("evaluateModel", () => {
  test("reports every task, in the order of the files, and the scores of every item", () =>
    withModels(async (model, _, tasks, folder) => {
      const out = join(folder, "report.json");
      const stages = new Set<string>();
      const report = await evaluateModel({
        model,
        tasks: [tasks.texts, tasks.choices],
        limit: 5,
        out,
        onProgress: ({ stage }) => stages.add(stage),
      });
      expect([...stages]).toEqual(["evaluating"]);
      expect(report.tasks.map(({ name, type, items }) => [name, type, items])).toEqual([
        ["texts", "perplexity", 5],
        ["choices", "multiple_choice", 5],
      ]);
      expect(report.tasks[0]?.figures.perplexity?.value).toBeGreaterThan(1);
      expect(report.tasks[1]?.figures.accuracy?.interval).not.toBeNull();
      const written = JSON.parse(await readFile(out, "utf8")) as { tasks: { scores: ItemScore[] }[] };
      expect(written.tasks[1]?.scores.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4].map((item) => `choices-${item}`));
      expect((await errorOf(evaluateModel({ model, tasks: [tasks.texts], out }))).code).toBe("OUTPUT_EXISTS");
    }));

  test("finds no difference between a model and itself, and one between two", () =>
    withModels(async (model, other, { choices, texts }) => {
      const same = await evaluateModel({ model, against: model, tasks: [choices, texts] });
      for (const { figures, against, differences } of same.tasks) {
        expect(against).toEqual(figures);
        for (const difference of Object.values(differences ?? {})) expect(difference).toMatchObject({ value: 0, pValue: 1 });
      }
      const [, different] = (await evaluateModel({ model, against: other, tasks: [choices, texts] })).tasks;
      const { figures, against, differences } = different!;
      expect(differences?.bitsPerByte?.value).toBeCloseTo(figures.bitsPerByte!.value - against!.bitsPerByte!.value, 10);
      expect(differences?.bitsPerByte?.value).not.toBe(0);
    }));

  test("depends on the window, which limits the context", () =>
    withModels(async (model, _, { texts }) => {
      const perplexity = async (maxTokens?: number) =>
        (await evaluateModel({ model, tasks: [texts], ...(maxTokens === undefined ? {} : { maxTokens }) })).tasks[0]!.figures
          .perplexity!.value;
      expect(await perplexity(8)).not.toBeCloseTo(await perplexity(128), 3);
      // The model has 128 positions, the texts 143 to 150 tokens.
      expect(await perplexity()).toBe(await perplexity(128));
    }));

  test("scores generated answers", () =>
    withModels(async (model, other, { prompts }, folder) => {
      const out = join(folder, "report.json");
      const { tasks } = await evaluateModel({ model, against: other, tasks: [prompts], out });
      expect(tasks[0]).toMatchObject({ type: "generation", items: 8 });
      expect(Object.keys(tasks[0]!.figures)).toEqual(["exactMatch"]);
      expect(tasks[0]!.differences?.exactMatch?.pValue).toBeGreaterThan(0);
      const written = JSON.parse(await readFile(out, "utf8")) as { tasks: { scores: ItemScore[] }[] };
      for (const score of written.tasks[0]!.scores)
        expect(score).toMatchObject({ type: "generation", metric: "exact_match", score: 0 });
    }));

  test("refuses a window that is too long before anything is computed", () =>
    withModels(async (model, _, { choices }) => {
      const onProgress = () => {
        throw new Error("something was computed");
      };
      expect((await errorOf(evaluateModel({ model, tasks: [choices], maxTokens: 129, onProgress }))).code).toBe("USAGE");
    }));
});
