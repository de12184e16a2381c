/** @file How files and folders of earlier runs are recognised, and what a run must not replace. */

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { CusprunError } from "../../src/errors.ts";
import { isUnlistedExpert } from "../../src/export/unlisted-expert.ts";
import { clearComparison, readComparison } from "../../src/pipeline/comparison-file.ts";
import { evaluateModel } from "../../src/pipeline/evaluate.ts";
import { exportModel } from "../../src/pipeline/export.ts";
import { protectedInputs } from "../../src/pipeline/inputs.ts";
import { OUTPUT_FILES } from "../../src/pipeline/output-file.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { scoreModel, selectFromScores } from "../../src/pipeline/steps.ts";
import { withWorkErrors } from "../../src/pipeline/work-errors.ts";
import { asWriteError } from "../../src/system-errors.ts";
import { preparePrune } from "../support/prune-runs.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyTasks } from "../support/tiny-tasks.ts";

const systemError = (code: string, more: object = {}): Error =>
  Object.assign(new Error(code), { code, syscall: "open", ...more });

test("every kind of file is recognised as that kind alone, an edited plan too", () =>
  withFolder(async (folder) => {
    const { model, corpora, selection } = await preparePrune(folder);
    const at = (name: string): string => join(folder, name);
    await scoreModel({ model, corpora, out: at("scores") });
    await selectFromScores({ scores: at("scores"), selection, out: at("plan") });
    const { choices } = await writeTinyTasks(folder);
    await evaluateModel({ model, tasks: [choices], out: at("evaluation") });
    await exportModel({ model, to: "safetensors", out: at("copy") });
    await writeFile(at("gguf"), Buffer.concat([Buffer.from("GGUF"), new Uint8Array(20)]));
    await writeFile(at("modelfile"), "# ollama create NAME -f x.Modelfile\nFROM ./x.gguf\n");
    await writeFile(at("comparison"), JSON.stringify({ format: "cusprun-comparison-2", runs: [] }, null, 1));
    for (const name of Object.keys(OUTPUT_FILES)) {
      const kinds = Object.entries(OUTPUT_FILES).map(async ([kind, { recognises }]) =>
        (await recognises(at(name))) ? kind : null,
      );
      expect((await Promise.all(kinds)).filter((kind) => kind !== null)).toEqual([name]);
    }
    const { layers, ...rest } = JSON.parse(await readFile(at("plan"), "utf8")) as Record<string, unknown>;
    await writeFile(at("edited"), JSON.stringify({ ...rest, layers, budget: "mine" }));
    expect(await OUTPUT_FILES.plan.recognises(at("edited"))).toBe(true);
    for (const other of ["copy/config.json", "copy/model.safetensors", "copy/tokenizer.json", "language.jsonl"]) {
      for (const { recognises } of Object.values(OUTPUT_FILES)) expect(await recognises(at(other))).toBe(false);
    }
  }));

describe("an expert without a list of its files", () => {
  test("is recognised by its plan and card, unless anything else is in it", () =>
    withFolder(async (folder) => {
      const options = await preparePrune(folder, { measure: false });
      await pruneModel(options);
      const { out } = options;
      await rm(join(out, "cusprun-files.json"));
      expect(await isUnlistedExpert(out)).toBe(true);
      await writeFile(join(out, "expert.gguf"), "");
      expect(await isUnlistedExpert(out)).toBe(true);
      for (const name of ["thesis.md", "other.gguf", "model.bin"]) {
        await writeFile(join(out, name), "mine");
        expect(await isUnlistedExpert(out)).toBe(false);
        await expect(pruneModel({ ...options, overwrite: true })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
        await rm(join(out, name));
      }
      await mkdir(join(out, "tokenizer.json.d"));
      expect(await isUnlistedExpert(out)).toBe(false);
      await rm(join(out, "tokenizer.json.d"), { recursive: true });
      const card = await readFile(join(out, "README.md"), "utf8");
      await writeFile(join(out, "README.md"), card.replace("- cusprun\n", "- mine\n"));
      expect(await isUnlistedExpert(out)).toBe(false);
      await writeFile(join(out, "README.md"), card);
      await pruneModel({ ...options, overwrite: true });
      expect(await readdir(out)).toContain("cusprun-files.json");
    }));
});

describe("the folder of a comparison", () => {
  test.each(["results.json", "notes.txt", "table.md"])("that holds a %s of the user is refused, also with overwrite", (name) =>
    withFolder(async (folder) => {
      await writeFile(join(folder, name), '{"format":"mine"}');
      await expect(readComparison(folder, false)).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      await expect(readComparison(folder, true)).rejects.toMatchObject({
        code: "OUTPUT_EXISTS",
        parts: { remedy: "Choose another --out" },
      });
      expect(await readdir(folder)).toEqual([name]);
    }),
  );

  test("with damaged results can be started again, which removes nothing of the user", () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, "results.json"), '{\n "format": "cusprun-comparison-2",\n "runs": [');
      for (const name of ["table.md", "held-out-mine.svg"]) await writeFile(join(folder, name), "");
      // Of a run that was killed. It must be gone before the results, by which the folder is recognised.
      await mkdir(join(folder, "experts"));
      await expect(readComparison(folder, false)).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      expect(await readComparison(folder, true)).toBeNull();
      await clearComparison(folder);
      expect(await readdir(folder)).toEqual(["held-out-mine.svg"]);
    }));
});

test("a run protects all that it reads and keeps, but presets are no paths", () => {
  vi.stubEnv("CUSPRUN_CACHE", "/cache");
  vi.stubEnv("HF_HUB_CACHE", "/hub");
  const inputs = protectedInputs({
    model: "m",
    against: "dense",
    corpora: { language: ["en", "de.jsonl"], domain: ["a.jsonl#text", "medical"] },
    vocabularyCorpus: ["more"],
    tasks: ["tasks"],
    plan: "p",
    scores: "s",
    work: "w",
  });
  const expected = ["m", "dense", "de.jsonl", "a.jsonl#text", "a.jsonl", "more", "tasks", "p", "s", "w", "/cache", "/hub"];
  expect(inputs.map(({ path }) => path)).toEqual([...expected, process.cwd()]);
  vi.unstubAllEnvs();
});

describe("errors of writing in a work folder", () => {
  const inWork = (folder: string): string => join(folder, "0123456789abcdef", "scores.safetensors");
  const failing = (work: string | undefined, error: unknown): Promise<unknown> =>
    withWorkErrors(work, () => Promise.reject(error)).catch((caught: unknown) => caught);

  test("name --work, or the cache, whether a writer or the system reports them", async () => {
    const path = inWork("/some/work");
    for (const error of [asWriteError(systemError("ENOSPC"), path, "--out"), systemError("ENOSPC", { path })]) {
      expect(await failing("/some/work", error)).toMatchObject({
        code: "DISK_FULL",
        parts: { where: path, remedy: "Free space, or choose another --work; then run again" },
      });
    }
    vi.stubEnv("CUSPRUN_CACHE", "/cache");
    expect(await failing(undefined, systemError("EACCES", { path: inWork("/cache/work") }))).toMatchObject({
      code: "OUTPUT_UNWRITABLE",
      parts: { remedy: "Set CUSPRUN_CACHE to a folder elsewhere" },
    });
    vi.unstubAllEnvs();
  });

  test("elsewhere, and other errors, are unchanged", async () => {
    const out = asWriteError(systemError("ENOSPC"), "/some/work/expert", "--out");
    const other = new CusprunError("SCORES_INVALID", { where: inWork("/some/work"), found: "", expected: "", remedy: "" });
    for (const error of [out, other, systemError("EIO", { path: "/model" }), new Error("stop"), null]) {
      expect(await failing("/some/work", error)).toBe(error);
    }
  });
});
