/** @file Where the compiled command writes: what it replaces, what it refuses before any work, what a kill leaves. */

import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { canMount, runOnMount } from "../support/mounts.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { MAIN, runCommand, startCommand, type Finished } from "./run-command.ts";

interface Prepared {
  readonly folder: string;
  readonly model: string;
  readonly corpus: string;
  /** `prune …` without `--work` and `--out`. */
  readonly prune: readonly string[];
}

/** Stages that take time. */
const WORK = /scoring|measuring|repairing|writing/;

/** A folder with a tiny model and a corpus, each in a folder of its own. */
function withModel(use: (prepared: Prepared) => Promise<void>, layers = 2, documents = 6): Promise<void> {
  return withFolder(async (folder) => {
    const model = join(folder, "models", "llama");
    await writeTinyCheckpoint(model, tinyModel("llama", { intermediateSize: 64, numHiddenLayers: layers }));
    await mkdir(join(folder, "texts"));
    const corpus = await writeTinyCorpus(join(folder, "texts", "notes.jsonl"), { documents, words: layers > 2 ? 400 : 40 });
    const prune = ["prune", model, "--domain", corpus, "--reduce", "25% of blocks", "--documents", String(documents)];
    await use({ folder, model, corpus, prune: [...prune, "--no-measure"] });
  });
}

const entries = async (folder: string): Promise<string[]> => (await readdir(folder, { recursive: true })).toSorted();

/** Checks that a command was refused with a code before any work. */
function expectRefused({ exitCode, stderr }: Finished, code: string, remedy: RegExp): void {
  expect(stderr).toMatch(new RegExp(`\\[${code}\\]`));
  expect(stderr).toMatch(remedy);
  expect(stderr).not.toMatch(WORK);
  expect(exitCode).toBe(6);
}

describe("--overwrite", () => {
  test("replaces an expert of its own, and nothing else", () =>
    withModel(async ({ folder, model, prune }) => {
      const work = join(folder, "work");
      const out = join(folder, "expert");
      const run = (place: string, more = prune): Promise<Finished> =>
        runCommand([...more, "--work", work, "--overwrite", "--out", place]);
      expect(await run(out)).toMatchObject({ exitCode: 0 });
      expect(await run(out, prune.with(prune.indexOf("--reduce") + 1, "15% of blocks"))).toMatchObject({ exitCode: 0 });
      expect(JSON.parse(await readFile(join(out, "cusprun-plan.json"), "utf8"))).toMatchObject({ budget: "15% of blocks" });

      await mkdir(join(folder, "project", "thesis"), { recursive: true });
      await writeFile(join(folder, "project", "thesis", "chapter.md"), "ten days of work");
      await writeFile(join(out, "notes.txt"), "mine");
      const before = await entries(folder);
      for (const place of [join(folder, "project"), folder, out, work, join(folder, "texts"), model]) {
        expectRefused(await run(place), "OUTPUT_EXISTS", /Choose another --out/);
      }
      const [workFolder = ""] = await readdir(work);
      expectRefused(await run(join(work, workFolder)), "OUTPUT_EXISTS", /Choose another --out/);
      expect(await entries(folder)).toEqual(before);
    }));

  test("does not replace the expert that is read, the folder that it is in, or the current one", () =>
    withModel(async ({ folder, corpus, prune }) => {
      const out = join(folder, "expert");
      expect(await runCommand([...prune, "--work", join(folder, "work"), "--out", out])).toMatchObject({ exitCode: 0 });
      const before = await entries(folder);
      const again = ["prune", out, "--domain", corpus, "--reduce", "5%", "--overwrite", "--out"];
      await symlink("expert", join(folder, "link"));
      expectRefused(await runCommand([...again, out]), "OUTPUT_EXISTS", /is the model/);
      expectRefused(await runCommand([...again, join(folder, "link")]), "OUTPUT_EXISTS", /is the model/);
      expectRefused(await runCommand([...prune, "--overwrite", "--out", "."], { cwd: out }), "OUTPUT_EXISTS", /is the current/);
      const plan = join(out, "cusprun-plan.json");
      const apply = ["apply", join(folder, "models", "llama"), "--plan", plan, "--overwrite", "--out", out];
      expectRefused(await runCommand(apply), "OUTPUT_EXISTS", /holds the plan/);
      await rm(join(folder, "link"));
      expect(await entries(folder)).toEqual(before);
    }));

  test("writes only over files of the same kind", () =>
    withModel(async ({ folder, model, corpus }) => {
      const thesis = join(folder, "thesis.md");
      await writeFile(thesis, "ten days of work");
      const [scores, plan, gguf] = ["a.safetensors", "plan.json", "a.gguf"].map((name) => join(folder, name));
      const score = ["score", model, "--domain", corpus, "--out"];
      const select = ["select", scores!, "--reduce", "20%", "--out"];
      const convert = ["export", model, "--to", "safetensors", "--out"];
      expect(await runCommand([...score, scores!])).toMatchObject({ exitCode: 0 });
      expect(await runCommand([...select, plan!])).toMatchObject({ exitCode: 0 });
      expect(await runCommand([...select, plan!, "--overwrite"])).toMatchObject({ exitCode: 0 });
      expect(await runCommand([...convert, join(folder, "copy")])).toMatchObject({ exitCode: 0 });
      expect(await runCommand([...convert, join(folder, "copy"), "--overwrite"])).toMatchObject({ exitCode: 0 });
      expectRefused(await runCommand([...score, thesis, "--overwrite"]), "OUTPUT_EXISTS", /a file that is not a scores file/);
      expectRefused(await runCommand([...score, plan!, "--overwrite"]), "OUTPUT_EXISTS", /a file that is not a scores file/);
      expectRefused(await runCommand([...select, thesis, "--overwrite"]), "OUTPUT_EXISTS", /a file that is not a plan/);
      expectRefused(await runCommand([...select, scores!, "--overwrite"]), "OUTPUT_EXISTS", /is the scores/);
      const weights = join(model, "model.safetensors");
      expectRefused(await runCommand([...score, weights, "--overwrite"]), "OUTPUT_EXISTS", /is inside the model/);
      expectRefused(
        await runCommand(["export", model, "--to", "gguf", "--out", gguf!.replace("a.gguf", "thesis.md"), "--overwrite"]),
        "OUTPUT_EXISTS",
        /a file that is not a GGUF file/,
      );
      expect(await readFile(thesis, "utf8")).toBe("ten days of work");
    }));
});

describe("a place", () => {
  test("that another run is writing to is refused at once", () =>
    withModel(
      async ({ folder, prune }) => {
        const out = join(folder, "expert");
        const first = startCommand([...prune, "--work", join(folder, "work"), "--out", out]);
        await first.stderrHolds("scoring");
        // Otherwise it might be ready before the second run has begun.
        first.process.kill("SIGSTOP");
        expectRefused(
          await runCommand([...prune, "--work", join(folder, "other"), "--out", out, "--overwrite"]),
          "OUTPUT_BUSY",
          /process \d+, since/,
        );
        first.process.kill("SIGKILL");
        await first.finished;
        expect((await readdir(folder)).filter((name) => name.startsWith(".cusprun-"))).toHaveLength(1);
        // What the killed run left is removed by the next one there, to whatever output.
        expect(await runCommand([...prune, "--work", join(folder, "work"), "--out", join(folder, "next")])).toMatchObject({
          exitCode: 0,
        });
        expect((await entries(folder)).filter((name) => name.includes(".cusprun-"))).toEqual([]);
      },
      8,
      60,
    ));

  test("that is a link to another disk is filled there", () =>
    withModel(async ({ folder, prune }) => {
      const isOnDisk = await stat("/dev/shm").then(
        async ({ dev }) => dev !== (await stat(tmpdir())).dev,
        () => false,
      );
      const elsewhere = join(isOnDisk ? "/dev/shm" : folder, `cusprun-test-${process.pid}`);
      await mkdir(elsewhere);
      try {
        await symlink(elsewhere, join(folder, "link"));
        const run = [...prune, "--work", join(folder, "work"), "--out", join(folder, "link")];
        expect(await runCommand(run)).toMatchObject({ exitCode: 0 });
        expect(await runCommand([...run, "--overwrite"])).toMatchObject({ exitCode: 0 });
        expect(await readdir(elsewhere)).toContain("model.safetensors");
        expect((await entries(folder)).filter((name) => name.includes(".cusprun-"))).toEqual([]);
      } finally {
        await rm(elsewhere, { recursive: true });
      }
    }));

  // Where nothing can be mounted, a folder in one that must not be changed stands for it: neither can be replaced.
  test("that is a mount point is filled and filled again", () =>
    withModel(async ({ folder, prune }) => {
      const parent = join(folder, "parent");
      const out = join(parent, "out");
      await mkdir(out, { recursive: true });
      await chmod(parent, 0o555);
      const run = [...prune, "--work", join(folder, "work"), "--out", out];
      const expected = ["README.md", "config.json", "cusprun-files.json", "cusprun-plan.json", "model.safetensors"];
      if (canMount()) {
        const script = 'node "$@" >&2 && node "$@" --overwrite >&2; code=$?; ls -A "$0"; exit $code';
        const { status, stdout, stderr } = runOnMount(out, "size=50m", script, [MAIN, ...run]);
        expect({ status, stderr }).toEqual({ status: 0, stderr });
        expect(stdout.split("\n")).toEqual(expect.arrayContaining(expected));
        expect(stdout).not.toContain(".cusprun-");
      } else {
        expect(await runCommand(run)).toMatchObject({ exitCode: 0 });
        expect(await runCommand([...run, "--overwrite"])).toMatchObject({ exitCode: 0 });
        expect(await readdir(out)).toEqual(expect.arrayContaining(expected));
      }
      await chmod(parent, 0o755);
    }));

  test("that cannot be written is refused before any work", () =>
    withModel(async ({ folder, prune }) => {
      const args = [...prune, "--work", join(folder, "work"), "--out"];
      const places = [join(folder, "texts", "notes.jsonl", "below"), join(folder, "n".repeat(256)), "/proc/cusprun/out"];
      for (const place of places) expectRefused(await runCommand([...args, place]), "OUTPUT_UNWRITABLE", /Choose another --out/);
      if (canMount()) {
        await mkdir(join(folder, "locked"));
        const ended = runOnMount(join(folder, "locked"), "ro", 'node "$@"', [
          MAIN,
          ...args,
          join(folder, "locked", "far", "out"),
        ]);
        expectRefused({ ...ended, exitCode: ended.status, signal: null }, "OUTPUT_UNWRITABLE", /read-only file system \(EROFS\)/);
      }
      expect(await readdir(folder)).toEqual(expect.not.arrayContaining(["work"]));
    }));
});

describe("a work folder", () => {
  test.runIf(process.platform === "linux")("below /proc is refused, with its own remedy", () =>
    withModel(async ({ folder, prune }) => {
      const { exitCode, stderr } = await runCommand([...prune, "--work", "/proc/cusprun/work", "--out", join(folder, "out")]);
      expect(exitCode).toBe(6);
      expect(stderr).toContain("Choose another --work. [OUTPUT_UNWRITABLE]");
      expect((await readdir(folder)).toSorted()).toEqual(["models", "texts"]);
    }),
  );

  // A full disk without a mount: a file in the place of the scores, which no system lets a file replace.
  test("that is full, or cannot be written, names its own remedy", () =>
    withModel(async ({ folder, prune }) => {
      const out = join(folder, "out");
      await mkdir(join(folder, "work"));
      if (canMount()) {
        const args = [MAIN, ...prune, "--out", out, "--json"];
        const full = (...more: string[]): string =>
          runOnMount(join(folder, "work"), "size=8k", `${more[0] ?? ""} node "$@"`, [...args, ...more.slice(1)]).stderr;
        expect(JSON.parse(full("", "--work", join(folder, "work")))).toMatchObject({
          error: { code: "DISK_FULL", remedy: "Free space, or choose another --work; then run again" },
        });
        expect(JSON.parse(full('CUSPRUN_CACHE="$0"'))).toMatchObject({
          error: { code: "DISK_FULL", remedy: "Free space, or set CUSPRUN_CACHE to a folder elsewhere; then run again" },
        });
      } else {
        const run = [...prune, "--work", join(folder, "work"), "--out", out];
        expect(await runCommand(run)).toMatchObject({ exitCode: 0 });
        const [own = ""] = await readdir(join(folder, "work"));
        for (const name of await readdir(join(folder, "work", own))) {
          await rm(join(folder, "work", own, name));
          await mkdir(join(folder, "work", own, name));
        }
        const { exitCode, stderr } = await runCommand([...run, "--overwrite"]);
        expect(exitCode).toBe(6);
        expect(stderr).toContain("Choose another --work. [OUTPUT_UNWRITABLE]");
      }
    }));
});
