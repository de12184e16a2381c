/** @file `cusprun eval`, called as a command on tiny models. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { EvaluationReport } from "../../src/pipeline/evaluate.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { writeTinyTasks, type TinyTasks } from "../support/tiny-tasks.ts";
import { runCommand } from "./run-command.ts";

function withModel(use: (model: string, tasks: TinyTasks, folder: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const model = join(folder, "model");
    await writeTinyCheckpoint(model, tinyModel("llama"));
    await use(model, await writeTinyTasks(folder), folder);
  });
}

describe("eval", () => {
  test("prints the table to stdout and progress to stderr", () =>
    withModel(async (model, { choices, texts }) => {
      const { exitCode, stdout, stderr } = await runCommand([
        "eval",
        model,
        "--tasks",
        choices,
        "--tasks",
        texts,
        "--limit",
        "6",
      ]);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("evaluating") as string });
      expect(stdout).toMatch(/choices +accuracy +6 +\d+\.\d% +\d+\.\d% – \d+\.\d%/);
      expect(stdout).toMatch(/texts +perplexity +6/);
    }));

  test("--against, --json and --out", () =>
    withModel(async (model, { choices }, folder) => {
      const out = join(folder, "report.json");
      const args = ["eval", model, "--tasks", choices, "--against", model, "--json", "--out", out];
      const { exitCode, stdout, stderr } = await runCommand(args);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      const report = JSON.parse(stdout) as EvaluationReport;
      expect(report).toMatchObject({ model, against: model, out });
      expect(report.tasks[0]?.differences?.accuracy?.pValue).toBe(1);
      expect(JSON.parse(await readFile(out, "utf8"))).toMatchObject({ format: "cusprun-evaluation-1" });
    }));

  test("exits with 4 for an invalid task, and with 2 for too long a window or no tasks", () =>
    withModel(async (model, { choices }, folder) => {
      const poems = join(folder, "poems.jsonl");
      await writeFile(poems, '{"type": "poem"}\n');
      const refused = async (...args: string[]) => {
        const { exitCode, stderr } = await runCommand(["eval", model, ...args]);
        return [exitCode, stderr.split("\n")[0]];
      };
      expect(await refused("--tasks", poems)).toEqual([4, expect.stringContaining(`${poems}:1`)]);
      expect(await refused("--tasks", choices, "--window", "500")).toEqual([2, expect.stringContaining("--window")]);
      expect(await refused()).toEqual([2, expect.stringContaining("command line")]);
    }));
});
