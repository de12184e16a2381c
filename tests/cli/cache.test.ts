/** @file The compiled command on the user's cache. */

import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { CacheReport } from "../../src/pipeline/cache-prune.ts";
import { ENDED_MARK } from "../support/ended-process.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { type Finished, runCommand } from "./run-command.ts";

test("cache: lists what a run left there, and removes it", () =>
  withFolder(async (folder) => {
    const cache = join(folder, "cache");
    const env = { CUSPRUN_CACHE: cache, CUSPRUN_CACHE_LIMIT: "", HF_HUB_CACHE: join(folder, "hub"), TZ: "UTC" };
    const run = (...args: readonly string[]): Promise<Finished> => runCommand(args, { env });
    expect(await run("cache")).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("Nothing is there.") as string });

    const model = join(folder, "model");
    await writeTinyCheckpoint(model, tinyModel("llama", { intermediateSize: 128 }));
    const corpus = await writeTinyCorpus(join(folder, "corpus.jsonl"));
    const made = await run("prune", model, "--domain", corpus, "--reduce", "25% of blocks", "--out", join(folder, "expert"));
    expect(made.exitCode).toBe(0);
    await mkdir(join(cache, "scratch"), { recursive: true });
    await writeFile(join(cache, "scratch", `.cusprun-${ENDED_MARK}-00000000`), "left");
    const [work = ""] = await readdir(join(cache, "work"));

    const { stdout } = await run("cache");
    expect(stdout).toContain(`${cache}\n\nWork folders:\n  work/${work}  `);
    expect(stdout).toMatch(/iB  20\d\d-\d\d-\d\d \d\d:\d\d {2}\S+model {2}dense-perplexity .*repair .*, scores .*/);
    expect(stdout).toMatch(/Left by processes that have ended:\n {2}scratch\/\.cusprun-.* 4 B/);
    expect(stdout).toMatch(/Total .* of at most 40\.0 GiB\./);
    expect(stdout).toContain(`Models from the hub are in ${join(folder, "hub")}`);
    expect(stdout).toMatch(/To clean up:\n {2}cusprun cache --prune\n$/);

    const planned = await run("cache", "--prune", "--all", "--dry-run");
    expect(planned.stdout).toMatch(/^Would remove from .*:\n.*left by a process that has ended\n.*all work folders go\n/);
    const listed = JSON.parse((await run("cache", "--json")).stdout) as CacheReport;
    expect(listed).toMatchObject({ folder: cache, pruned: null });
    expect(listed.entries.map(({ kind, path }) => [kind, path])).toEqual([
      ["work", join(cache, "work", work)],
      ["leftover", join(cache, "scratch", `.cusprun-${ENDED_MARK}-00000000`)],
    ]);

    const swept = await run("cache", "--prune");
    expect(swept.stdout).toMatch(/^Removed from .*\n {2}scratch\/.*\n\nRemoved 4 B in total\.\nTotal /);
    const cleared = JSON.parse((await run("cache", "--prune", "--cache-limit", "1KB", "--json")).stdout) as CacheReport;
    expect(cleared).toMatchObject({ entries: [], bytes: 0, limitBytes: 1000, pruned: { dryRun: false } });
    expect(cleared.pruned?.removed).toMatchObject([{ model, reason: "not used for longest" }]);
    expect((await run("cache", "--prune", "--all")).stdout).toMatch(/^Nothing to remove in /);
    expect(await readdir(join(cache, "work"))).toEqual([]);
  }));

test.each([
  [["smollm2"], "1 argument (smollm2)", "Remove the extra arguments"],
  [["--all"], "--all without --prune", "Add --prune"],
  [["--dry-run"], "--dry-run without --prune", "Add --prune"],
  [["--prune", "--cache-limit", "much"], "'much'", "Write --cache-limit 5GB"],
])("cache %j is refused", async (args, found, remedy) => {
  const { exitCode, stderr } = await runCommand(["cache", ...args]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(found) as string });
  expect(stderr).toContain(remedy);
});
