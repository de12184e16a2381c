/** @file The compiled command on tiny models: results, exit codes, Ctrl-C, a full disk. */

import { execFileSync } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { PruneReport } from "../../src/report/report.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { MAIN, runCommand, startCommand } from "./run-command.ts";

interface Prepared {
  readonly folder: string;
  readonly model: string;
  /** `prune …` without `--out`. */
  readonly prune: readonly string[];
  readonly out: string;
}

/** Prepares a tiny model and corpus in a temporary folder. */
function withModel(
  use: (prepared: Prepared) => Promise<void>,
  size: { layers?: number; documents?: number; words?: number } = {},
): Promise<void> {
  return withFolder(async (folder) => {
    const model = join(folder, "model");
    await writeTinyCheckpoint(model, tinyModel("llama", { intermediateSize: 128, numHiddenLayers: size.layers ?? 2 }));
    const corpus = await writeTinyCorpus(join(folder, "corpus.jsonl"), {
      documents: size.documents ?? 12,
      words: size.words ?? 40,
    });
    const out = join(folder, "expert");
    const prune = [
      "prune",
      model,
      "--domain",
      corpus,
      "--reduce",
      "25% of blocks",
      "--work",
      join(folder, "work"),
      "--documents",
      String(size.documents ?? 12),
    ];
    await use({ folder, model, prune, out });
  });
}

/** The arguments without `--work` and its value. */
function withoutWork(prune: readonly string[]): string[] {
  return prune.filter((word, i) => word !== "--work" && prune[i - 1] !== "--work");
}

describe("prune", () => {
  test("prints the table to stdout and progress to stderr", () =>
    withModel(async ({ prune, out }) => {
      const { exitCode, stdout, stderr } = await runCommand([...prune, "--out", out]);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("scoring") as string });
      expect(stdout).toMatch(/ffn +128 +32 +96 +25\.0%/);
      expect(stdout).toContain(`expert  ${out}`);
      expect(await readdir(out)).toContain("model.safetensors");
    }));

  test("--json prints one object and nothing else", () =>
    withModel(async ({ prune, out }) => {
      const { exitCode, stdout, stderr } = await runCommand([...prune, "--out", out, "--json"]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      const report = JSON.parse(stdout) as PruneReport;
      expect(report).toMatchObject({ out, layout: "uniform", dimensions: [{ dimension: "domain", label: "corpus.jsonl" }] });
    }));

  test("tells before it begins how long each stage will take; --dry-run says only that, and writes nothing", () =>
    withModel(async ({ folder, prune, out }) => {
      const before = await readdir(folder);
      const dry = await runCommand([...prune, "--out", out, "--dry-run"]);
      expect({ exitCode: dry.exitCode, stdout: dry.stdout }).toEqual({
        exitCode: 0,
        stdout: expect.stringMatching(
          /scoring .*\n[^]*repairing .*\n[^]*\ntotal [^]*weights in F32 +about [^]*Nothing was written/,
        ) as string,
      });
      expect(await readdir(folder)).toEqual(before);
      const json = await runCommand([...prune, "--out", out, "--dry-run", "--json"]);
      expect(JSON.parse(json.stdout)).toMatchObject({ out, seconds: expect.any(Number) as number });
      expect(json.stderr).toBe("");
      const { stderr } = await runCommand([...prune, "--out", out]);
      expect(stderr).toMatch(/^about .* on this machine: /m);
    }));

  test("reads a YAML file, which flags override", () =>
    withModel(async ({ folder, model, out }) => {
      const config = join(folder, "expert.yaml");
      await writeFile(
        config,
        [`model: ${model}`, `task: ${join(folder, "corpus.jsonl")}`, "reduce: 5%", "layout: masked", `out: ${out}`].join("\n"),
      );
      const { stdout, exitCode } = await runCommand([
        "prune",
        "--config",
        config,
        "--layout",
        "uniform",
        "--reduce",
        "20%",
        "--no-measure",
        "--work",
        folder,
        "--json",
      ]);
      expect(exitCode).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        layout: "uniform",
        budget: "20%",
        dimensions: [{ dimension: "task", dense: null }],
      });
    }));

  test.each<[string, string[], number, string]>([
    ["usage", ["--layout", "unifrom"], 2, "USAGE"],
    ["usage", ["--memory", "6X"], 2, "USAGE"],
    ["usage", ["--memory", "64M"], 2, "MEMORY_LIMIT"],
    ["model", ["--max-tokens", "100"], 3, "SAFETENSORS_TOO_SHORT"],
    ["corpus", ["--task", "nowhere.jsonl"], 4, "CORPUS_NOT_FOUND"],
    ["budget", ["--floor", "0.99"], 5, "BUDGET_UNREACHABLE"],
  ])("exits with the code of the error's class: %s", (kind, flags, code, errorCode) =>
    withModel(async ({ prune, out, model }) => {
      if (kind === "model") await writeFile(join(model, "model.safetensors"), "short");
      const { exitCode, stdout, stderr } = await runCommand([...prune, "--out", out, "--json", ...flags]);
      expect({ exitCode, stdout }).toEqual({ exitCode: code, stdout: "" });
      const { error } = JSON.parse(stderr) as { error: Record<string, string> };
      expect(error).toMatchObject({ code: errorCode });
      for (const part of ["message", "where", "found", "expected", "remedy"]) expect(error[part], part).toMatch(/\S/);
    }),
  );

  test("names the remedy for a cache that is not writable", () =>
    withModel(async ({ prune, out }) => {
      const { exitCode, stderr } = await runCommand([...withoutWork(prune), "--out", out], {
        env: { CUSPRUN_CACHE: "/dev/null/cache" },
      });
      expect(exitCode).toBe(6);
      expect(stderr).toContain("Set CUSPRUN_CACHE to a folder elsewhere. [OUTPUT_UNWRITABLE]");
    }));

  test("names the remedy for a given work folder that cannot be made", () =>
    withModel(async ({ prune, out, model }) => {
      const work = join(model, "config.json", "work");
      const { exitCode, stderr } = await runCommand([...withoutWork(prune), "--work", work, "--out", out]);
      expect(exitCode).toBe(6);
      expect(stderr).toMatch(/found +a file where a folder is expected \(ENOTDIR\)\n +expected +a writable place\n/);
      expect(stderr).toContain("Choose another --work. [OUTPUT_UNWRITABLE]");
    }));

  test("names a missing required option with its value, and the help", () =>
    withModel(async ({ model, out }) => {
      const { exitCode, stderr } = await runCommand(["prune", model, "--language", "en", "--out", out]);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(/found +no --reduce\n +expected +--reduce AMOUNT\n +Add it; see 'cusprun prune --help'\. \[USAGE\]/);
    }));

  test("refuses a non-empty output folder and names the remedy", () =>
    withModel(async ({ prune, out }) => {
      await mkdir(out);
      await writeFile(join(out, "thesis.tex"), "");
      const { exitCode, stderr } = await runCommand([...prune, "--out", out]);
      expect(exitCode).toBe(6);
      expect(stderr).toBe(
        [
          `cusprun: ${out}`,
          "  found     a folder with 1 entry",
          "  expected  an absent or empty folder",
          "  Choose another --out: --overwrite replaces nothing but outputs of earlier runs. [OUTPUT_EXISTS]\n",
        ].join("\n"),
      );
    }));
});

describe("the single steps", () => {
  test("score, select and apply, from file to file", () =>
    withModel(async ({ folder, model, out }) => {
      const [scores, plan] = [join(folder, "scores.safetensors"), join(folder, "plan.json")];
      const corpus = join(folder, "corpus.jsonl");
      expect(await runCommand(["score", model, "--domain", corpus, "--out", scores])).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining("Scored ffn") as string,
      });
      expect(await runCommand(["select", scores, "--reduce", "20%", "--out", plan])).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(/removes .* parameters/) as string,
      });
      expect(await runCommand(["apply", model, "--plan", plan, "--out", out])).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining(`Wrote ${out}`) as string,
      });
      expect(await runCommand(["inspect", out])).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(/ffn units per layer +96/) as string,
      });
    }));
});

describe("an amount of nothing", () => {
  test.for(["0%", "0", "0 parameters", "0% of blocks"])("%j is refused before any work, with the remedy", (amount) =>
    withModel(async ({ folder, prune, out }) => {
      const args = prune.map((word, i) => (prune[i - 1] === "--reduce" ? amount : word));
      const { exitCode, stderr } = await runCommand([...args, "--out", out, "--json"]);
      expect(exitCode).toBe(5);
      expect(JSON.parse(stderr)).toMatchObject({
        error: {
          code: "BUDGET_INVALID",
          found: `"${amount}", which removes nothing`,
          remedy: expect.stringContaining("--vocabulary SIZE"),
        },
      });
      expect(await readdir(folder)).not.toContain("work");
    }),
  );

  test("is accepted with a size of the vocabulary, since tokens are removed then", () =>
    withModel(async ({ prune, out }) => {
      const args = prune.map((word, i) => (prune[i - 1] === "--reduce" ? "0%" : word));
      const { stderr } = await runCommand([...args, "--vocabulary", "40", "--out", out, "--json"]);
      // The tiny model's tokenizer is a list of words, of which none can be removed.
      expect(JSON.parse(stderr)).toMatchObject({ error: { code: "TOKENIZER_UNSUPPORTED" } });
    }));
});

/** Large enough that a signal arrives while it is working. */
const LONG = { layers: 8, documents: 150, words: 400 };

describe("a signal", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s while scoring leaves nothing behind", (signal, code) =>
    withModel(async ({ folder, prune, out }) => {
      const running = startCommand([...prune, "--out", out]);
      await running.stderrHolds("scoring");
      running.process.kill(signal);
      const { exitCode, stdout, stderr } = await running.finished;
      expect({ exitCode, stdout }).toEqual({ exitCode: code, stdout: "" });
      expect(stderr).toContain("Stopping");
      const left = await readdir(folder, { recursive: true });
      expect(left.filter((name) => /expert|cusprun-|scores/.test(name))).toEqual([]);
    }, LONG),
  );

  test("a second signal kills the process at once", () =>
    withModel(async ({ prune, out }) => {
      const running = startCommand([...prune, "--out", out]);
      await running.stderrHolds("scoring");
      running.process.kill("SIGINT");
      running.process.kill("SIGTERM");
      const { exitCode, signal } = await running.finished;
      expect(signal ?? exitCode).toSatisfy((ended: unknown) => ended === "SIGTERM" || ended === "SIGINT");
    }, LONG));
});

describe("a full disk", () => {
  // A file system of 100 KiB that only this process can see; the expert needs twice that.
  test("is reported with its own code and leaves nothing behind", () =>
    withModel(async ({ folder, prune }) => {
      const small = join(folder, "small");
      await mkdir(small);
      const script = `mount -t tmpfs -o size=100k tmpfs "$0" && node "$@"; code=$?; ls -A "$0"; exit $code`;
      const args = [
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        small,
        MAIN,
        ...prune,
        "--out",
        join(small, "expert"),
        "--json",
      ];
      const ended = (() => {
        try {
          return { status: 0, stdout: execFileSync("unshare", args, { encoding: "utf8", stdio: "pipe" }), stderr: "" };
        } catch (error) {
          return error as { status: number; stdout: string; stderr: string };
        }
      })();
      expect(ended).toMatchObject({ status: 6, stdout: "" });
      expect(JSON.parse(ended.stderr)).toMatchObject({
        error: { code: "DISK_FULL", remedy: expect.stringContaining("Free space") as string },
      });
    }));
});
