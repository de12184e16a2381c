/** @file `cusprun compare`, called as a command on tiny models. */

import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { pruneModel } from "../../src/pipeline/prune.ts";
import type { MethodComparison } from "../../src/report/method-comparison.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { writeTinyTasks } from "../support/tiny-tasks.ts";
import { runCommand, startCommand } from "./run-command.ts";

interface Prepared {
  readonly folder: string;
  readonly model: string;
  readonly corpus: string;
  readonly tasks: string;
  readonly out: string;
  /** Two methods, two budgets, two seeds, an evaluation file. */
  readonly compare: readonly string[];
}

const DOCUMENTS = { documents: 8, heldOutDocuments: 3 };

function withModel(use: (prepared: Prepared) => Promise<void>, layers = 2): Promise<void> {
  return withFolder(async (folder) => {
    const model = join(folder, "model");
    await writeTinyCheckpoint(model, tinyModel("llama", { intermediateSize: 128, numHiddenLayers: layers }));
    const corpus = await writeTinyCorpus(join(folder, "notes.jsonl"), { documents: 24 });
    const { choices: tasks } = await writeTinyTasks(folder);
    const out = join(folder, "comparison");
    const what = ["compare", model, "--domain", corpus, "--documents", "8", "--held-out", "3", "--work", join(folder, "work")];
    const runs = ["--methods", "cusprun,flap", "--budgets", "15% of blocks,30% of blocks", "--seeds", "0,1", "--tasks", tasks];
    await use({ folder, model, corpus, tasks, out, compare: [...what, ...runs, "--out", out] });
  });
}

async function readResults(out: string): Promise<MethodComparison> {
  return JSON.parse(await readFile(join(out, "results.json"), "utf8")) as MethodComparison;
}

/** Stages that take time. */
const WORK = /scoring|measuring|evaluating|repairing|writing/;

describe("compare", () => {
  test("makes every run once, with a table and plots", () =>
    withModel(async ({ folder, model, corpus, out, compare }) => {
      const first = await runCommand(compare);
      expect(first).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(WORK) as string });
      expect(first.stderr).toContain("8/8 flap, 30% of blocks, seed 1: measuring the expert");
      expect(first.stdout).toMatch(/30% of blocks +flap +no .* ± .* 2\n/);
      expect(first.stdout).toContain("(8 runs completed)");
      expect((await readdir(out)).toSorted()).toEqual(["held-out-domain.svg", "results.json", "table.md", "task-choices.svg"]);
      const { runs, dense, settings } = await readResults(out);
      expect(runs.map(({ method, budget, seed, repaired }) => [method, budget, seed, repaired])).toEqual(
        [0, 1].flatMap((seed) =>
          ["15% of blocks", "30% of blocks"].flatMap((budget) => [
            ["cusprun", budget, seed, true],
            ["flap", budget, seed, false],
          ]),
        ),
      );
      expect(settings).toMatchObject({
        documents: 8,
        corpora: { domain: "notes.jsonl" },
        tasks: [{ name: "choices", items: 8 }],
      });
      expect(dense.tasks[0]?.figures.accuracy?.value).toBeTypeOf("number");

      // Every run gives the same result as `prune`.
      const alone = await pruneModel({
        model,
        corpora: { domain: [corpus] },
        corpusOptions: { ...DOCUMENTS, seed: 1 },
        selection: { budget: "30% of blocks", layout: "uniform" },
        method: "flap",
        out: join(folder, "alone"),
        work: join(folder, "other-work"),
      });
      const { parameters, dimensions, units } = alone;
      expect(runs.at(-1)).toMatchObject({ parameters, units, dimensions });

      const written = await readFile(join(out, "results.json"), "utf8");
      const again = await runCommand(compare);
      expect(again).toMatchObject({ exitCode: 0, stderr: expect.not.stringMatching(WORK) as string });
      expect(again.stdout).toContain("(0 runs completed, 8 reused)");
      expect(await readFile(join(out, "results.json"), "utf8")).toBe(written);
    }));

  test("resumes after an interruption", () =>
    withModel(async ({ out, compare }) => {
      const running = startCommand(compare);
      await running.stderrHolds("2/8 ");
      running.process.kill("SIGINT");
      expect(await running.finished).toMatchObject({ exitCode: 130, stdout: "" });
      expect(await readdir(out)).not.toContain("experts");
      const kept = (await readResults(out)).runs;
      expect(kept.length).toBeGreaterThanOrEqual(1);
      const { exitCode, stdout, stderr } = await runCommand([...compare, "--json"]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      const report = JSON.parse(stdout) as MethodComparison & { made: number; reused: number };
      expect(report).toMatchObject({ format: "cusprun-comparison-2", made: 8 - kept.length, reused: kept.length });
      expect(report.runs.slice(0, kept.length)).toEqual(kept);
    }, 6));

  test("refuses other settings in the same folder unless --overwrite is given", () =>
    withModel(async ({ out, compare }) => {
      const few = [...compare.map((word) => (word === "cusprun,flap" ? "magnitude" : word === "0,1" ? "0" : word)), "--keep"];
      expect(await runCommand(few)).toMatchObject({ exitCode: 0, stdout: expect.not.stringContaining("±") as string });
      expect((await readdir(join(out, "experts"))).toSorted()).toEqual([
        "magnitude-15-percent-of-blocks-seed-0",
        "magnitude-30-percent-of-blocks-seed-0",
      ]);
      const written = await readFile(join(out, "results.json"), "utf8");
      const other = [...few.map((word) => (word === "8" ? "6" : word)), "--no-repair"];
      const refused = await runCommand(other);
      expect(refused).toMatchObject({ exitCode: 6, stderr: expect.stringContaining("repair null") as string });
      expect(refused.stderr).toMatch(/documents 6[^]*--overwrite[^]*OUTPUT_EXISTS/);
      expect(refused.stderr).not.toMatch(WORK);
      expect(await readFile(join(out, "results.json"), "utf8")).toBe(written);
      await writeFile(join(out, "experts", "thesis.md"), "mine");
      const kept = await runCommand([...other, "--overwrite"]);
      expect(kept).toMatchObject({ exitCode: 6, stderr: expect.stringContaining("thesis.md") as string });
      expect(kept.stderr).not.toMatch(WORK);
      await rename(join(out, "experts", "thesis.md"), join(out, "task-mine.svg"));
      expect(await readFile(join(out, "results.json"), "utf8")).toBe(written);
      expect(await runCommand([...other, "--overwrite"])).toMatchObject({ exitCode: 0 });
      expect(await readFile(join(out, "task-mine.svg"), "utf8")).toBe("mine");
      expect((await readResults(out)).settings).toMatchObject({ documents: 6, repair: false });
    }));

  test.each<[string, Record<string, string>, number, string]>([
    ["an unknown method", { "cusprun,flap": "cusprun,flapp" }, 2, "'flapp'"],
    ["an unreachable budget", { "15% of blocks,30% of blocks": "15% of blocks,99% of blocks" }, 5, "BUDGET_UNREACHABLE"],
    ["a repeated budget", { "15% of blocks,30% of blocks": "25%,0.25" }, 2, "'0.25' twice"],
    ["an invalid seed", { "0,1": "0,x" }, 2, "--seeds"],
    ["an invalid evaluation file", {}, 4, "TASK_TYPE"],
  ])("refuses %s before any work", (_, changes, code, text) =>
    withModel(async ({ folder, tasks, compare }) => {
      if (code === 4) await writeFile(tasks, '{"type": "poem"}\n');
      const { exitCode, stdout, stderr } = await runCommand(compare.map((word) => changes[word] ?? word));
      expect({ exitCode, stdout, stderr }).toEqual({
        exitCode: code,
        stdout: "",
        stderr: expect.stringContaining(text) as string,
      });
      expect(stderr).not.toMatch(WORK);
      expect(await readdir(folder)).not.toContain("comparison");
    }),
  );
});
