/** @file Two files that belong together: a run that is killed at any moment leaves the old ones or the new ones. */

import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import type * as FileSystem from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { withOutputFile } from "../src/output-place.ts";
import { ownMark } from "../src/process-mark.ts";
import { ENDED_MARK } from "./support/ended-process.ts";
import { withFolder } from "./support/temporary-folder.ts";

/** Changes of the file system that are still made; then the process is dead, and makes none. */
let changesLeft = Infinity;

vi.mock("node:fs/promises", async (importOriginal) => {
  const original = await importOriginal<typeof FileSystem>();
  const mortal = <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) => {
    return async (...args: Args): Promise<Result> => {
      if (changesLeft <= 0) throw new Error("killed");
      changesLeft -= 1;
      return call(...args);
    };
  };
  const { mkdir, rename: move, rm, rmdir, unlink, writeFile: write } = original;
  return {
    ...original,
    mkdir: mortal(mkdir),
    rename: mortal(move),
    rm: mortal(rm),
    rmdir: mortal(rmdir),
    unlink: mortal(unlink),
    writeFile: mortal(write),
  };
});

const OPTIONS = { kind: "a test's file", recognises: () => Promise.resolve(true), overwrite: true };
const NAMES = ["a.gguf", "a.Modelfile"] as const;

/** Writes the second file after the first. */
function writePair(folder: string, text: string): Promise<void> {
  const [first, second] = NAMES.map((name) => join(folder, name)) as [string, string];
  return withOutputFile(first, OPTIONS, (leader) =>
    withOutputFile(second, OPTIONS, (follower) =>
      follower.write(
        (path) => writeFile(path, text),
        (announce) =>
          leader.write(async (path) => {
            await writeFile(path, text);
            await announce(path, first);
          }),
      ),
    ),
  );
}

/** Ends the process after so many changes. @returns whether it was still running. */
async function killAfter(changes: number, folder: string, run: () => Promise<void>): Promise<boolean> {
  changesLeft = changes;
  const wasKilled = await run().then(
    () => false,
    () => true,
  );
  changesLeft = Infinity;
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    if (/owner-\d+$/.test(name)) await writeFile(path, (await readFile(path, "utf8")).replace(ownMark(), ENDED_MARK));
    if (name.includes(ownMark())) await rename(path, path.replace(ownMark(), ENDED_MARK));
  }
  return wasKilled;
}

const contentsOf = (folder: string): Promise<(string | null)[]> =>
  Promise.all(NAMES.map((name) => readFile(join(folder, name), "utf8").catch(() => null)));

/** Any run that writes to the folder finishes or removes what a killed one left. */
const nextRun = (folder: string): Promise<void> =>
  withOutputFile(join(folder, "other"), OPTIONS, (place) => place.write((path) => writeFile(path, "other")));

describe.each([
  ["nothing", null],
  ["an earlier pair", "old"],
])("where there was %s", (_, before) => {
  test("a run that is killed at any moment leaves to the next both of the old, or both of the new", async () => {
    const seen = new Set<string>();
    let wasKilled = true;
    for (let changes = 0; wasKilled; changes++) {
      wasKilled = await withFolder(async (folder) => {
        if (before !== null) await writePair(folder, before);
        const isKilled = await killAfter(changes, folder, () => writePair(folder, "new"));
        seen.add(String(await contentsOf(folder)));
        await nextRun(folder);
        expect([
          [before, before],
          ["new", "new"],
        ]).toContainEqual(await contentsOf(folder));
        expect((await readdir(folder)).filter((name) => name.startsWith("."))).toEqual([]);
        return isKilled;
      });
    }
    // The moment between the two was among them.
    expect(seen).toContain(String(["new", before]));
  });

  test("what somebody put there between the two stays", async () => {
    let contents = "";
    for (let changes = 0; contents !== "new,of the user"; changes++) {
      contents = await withFolder(async (folder) => {
        if (before !== null) await writePair(folder, before);
        await killAfter(changes, folder, () => writePair(folder, "new"));
        const isBetween = String(await contentsOf(folder)) === String(["new", before]);
        if (isBetween) await writeFile(join(folder, NAMES[1]), "of the user");
        await nextRun(folder);
        return String(await contentsOf(folder));
      });
      if (contents.includes("of the user")) expect(contents).toBe("new,of the user");
    }
  });
});
