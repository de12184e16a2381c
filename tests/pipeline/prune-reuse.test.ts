/** @file Steps of a run that an earlier one has finished: which are reused, and which are done again. */

import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { pruneModel } from "../../src/pipeline/prune.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { preparePrune, SIZES, stagesOf } from "../support/prune-runs.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

describe("a finished step", () => {
  let first: Set<string>;
  let again: Record<string, Set<string>>;

  beforeAll(() =>
    withFolder(async (folder) => {
      const options = { ...(await preparePrune(folder)), overwrite: true };
      first = await stagesOf(options);
      again = {
        same: await stagesOf(options),
        "another budget": await stagesOf({ ...options, selection: { budget: "35% of blocks", layout: "uniform" } }),
        "another layout": await stagesOf({ ...options, selection: { budget: "25% of blocks", layout: "masked" } }),
        "fewer dimensions": await stagesOf({ ...options, corpora: { domain: options.corpora.domain! } }),
        "more kinds": await stagesOf({
          ...options,
          selection: { budget: "25% of blocks", layout: "masked", kinds: ["ffn", "head"] },
        }),
        "fewer documents": await stagesOf({ ...options, corpusOptions: { documents: 6, heldOutDocuments: 3 } }),
      };
      await damage(join(folder, "work"));
      again["damaged scores"] = await stagesOf(options);
      await writeTinyCheckpoint(options.model, tinyModel("llama", { ...SIZES, seed: 2 }), "BF16");
      again["another model in the same place"] = await stagesOf(options);
    }),
  );

  test("is done by the first run", () => {
    expect([...first]).toEqual(
      expect.arrayContaining(["scoring", "selecting", "measuring the dense model", "writing", "measuring the expert"]),
    );
  });

  test.each([
    ["same", false, false],
    ["another budget", false, false],
    ["another layout", false, false],
    ["fewer dimensions", false, false],
    ["more kinds", true, false],
    ["fewer documents", true, false],
    ["damaged scores", true, false],
    ["another model in the same place", true, true],
  ])("%s: scored again %s, dense model measured again %s", (run, scored, measured) => {
    expect({ scored: again[run]!.has("scoring"), measured: again[run]!.has("measuring the dense model") }).toEqual({
      scored,
      measured,
    });
  });
});

/** Cuts every scores file in half. */
async function damage(work: string): Promise<void> {
  for (const name of await readdir(work, { recursive: true })) {
    const path = join(work, name);
    if (name.endsWith(".safetensors")) await writeFile(path, (await readFile(path)).subarray(0, (await stat(path)).size / 2));
  }
}

test("a finished repair is reused, and only the newest is kept", () =>
  withFolder(async (folder) => {
    const options = await preparePrune(folder);
    const abort = new AbortController();
    const onProgress = ({ stage }: ProgressEvent): void => (stage === "writing" ? abort.abort() : undefined);
    await expect(pruneModel({ ...options, onProgress, signal: abort.signal })).rejects.toMatchObject({ name: "AbortError" });
    expect(await stagesOf(options)).not.toContain("repairing");
    const again = { ...options, overwrite: true };
    expect(await stagesOf(again)).not.toContain("repairing");
    const repairs = async (): Promise<string[]> =>
      (await readdir(join(folder, "work"), { recursive: true })).filter((name) => /repair-.*safetensors$/.test(name));
    const first = await repairs();
    expect(first).toHaveLength(1);
    expect(await stagesOf({ ...again, selection: { budget: "35% of blocks", layout: "uniform" } })).toContain("repairing");
    expect(await repairs()).toHaveLength(1);
    expect(await repairs()).not.toEqual(first);
  }));
