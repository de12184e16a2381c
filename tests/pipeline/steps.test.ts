/** @file The steps of a run one by one, through files. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PLAN_FILE_NAME } from "../../src/export/unlisted-expert.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { applyPlan, scoreModel, selectFromScores } from "../../src/pipeline/steps.ts";
import { preparePrune } from "../support/prune-runs.ts";
import { withFolder } from "../support/temporary-folder.ts";

describe("the steps one by one", () => {
  test.each([true, false])("make the same weights and plan as a whole run, repaired: %s", (repair) =>
    withFolder(async (folder) => {
      const whole = await preparePrune(folder, { repair });
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

  test("refuse to replace a file without overwrite", () =>
    withFolder(async (folder) => {
      const { model, corpora, selection } = await preparePrune(folder);
      const out = join(folder, "language.jsonl");
      await expect(scoreModel({ model, corpora, out })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      await expect(selectFromScores({ scores: "nowhere", selection, out })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      await expect(selectFromScores({ scores: "nowhere", selection, out: folder, overwrite: true })).rejects.toMatchObject({
        code: "OUTPUT_EXISTS",
      });
    }));
});
