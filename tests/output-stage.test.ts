/** @file Reserved places: two runs to one output, and what a run that is killed at any moment leaves to the next. */

import { cp, mkdir, readdir, readFile, rename, stat, symlink, utimes, writeFile } from "node:fs/promises";
import type * as FileSystem from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { withOutputFolder } from "../src/output-place.ts";
import { stageName } from "../src/output-stage.ts";
import { ownMark } from "../src/process-mark.ts";
import { ELSEWHERE_MARK, ENDED_MARK, ownerText, REUSED_MARK } from "./support/ended-process.ts";
import { withFolder } from "./support/temporary-folder.ts";

/** Called before every change of the file system that a swap or a reservation consists of. */
let onChange: (() => Promise<void>) | null = null;

vi.mock("node:fs/promises", async (importOriginal) => {
  const original = await importOriginal<typeof FileSystem>();
  const observed = <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) => {
    return async (...args: Args): Promise<Result> => {
      await onChange?.();
      return call(...args);
    };
  };
  const { mkdir: make, rename: move, rm: remove, rmdir, unlink, writeFile: write } = original;
  return {
    ...original,
    mkdir: observed(make),
    rename: observed(move),
    rm: observed(remove),
    rmdir: observed(rmdir),
    unlink: observed(unlink),
    writeFile: observed(write),
  };
});

vi.mock("../src/mount-points.ts", () => ({
  isReplaceable: (path: string) => Promise.resolve(!path.includes("mounted")),
  isMountPoint: (path: string) => Promise.resolve(path.includes("mounted")),
}));

const write = (path: string, text: string, overwrite = false): Promise<void> =>
  withOutputFolder(path, { overwrite }, (place) =>
    place.write(async (folder) => {
      await writeFile(join(folder, "model.safetensors"), text);
      await mkdir(join(folder, `part-${text}`));
      await writeFile(join(folder, `part-${text}`, "model.onnx"), text);
    }),
  );

/** `old`, `new`, null for an absent or empty folder, or the names of a mixture. */
async function stateOf(out: string): Promise<string | null> {
  const names = (await readdir(out).catch(() => [])).filter((name) => !name.startsWith(".cusprun-")).toSorted();
  if (names.length === 0) return null;
  const text = await readFile(join(out, "model.safetensors"), "utf8").catch(() => "");
  const isWhole = names.join() === ["cusprun-files.json", "model.safetensors", `part-${text}`].join();
  return isWhole && (await readFile(join(out, `part-${text}`, "model.onnx"), "utf8")) === text ? text : names.join();
}

const temporaries = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true })).filter((name) => name.includes(".cusprun-"));

/** Turns what this process has into what one that ended has. */
async function endProcess(folder: string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    if (basename(name).startsWith("owner-")) {
      await writeFile(path, (await readFile(path, "utf8")).replace(ownMark(), ENDED_MARK));
    }
    const renamed = basename(name).replace(ownMark(), ENDED_MARK);
    if (renamed !== basename(name)) await rename(path, join(dirname(path), renamed));
  }
}

/** The folder as it was before each change that `run` made. */
async function momentsOf(folder: string, moments: string, run: () => Promise<unknown>): Promise<string[]> {
  const paths: string[] = [];
  const snapshot = async (): Promise<void> => {
    onChange = null;
    const path = join(moments, String(paths.length));
    await cp(folder, path, { recursive: true });
    paths.push(path);
    onChange = snapshot;
  };
  onChange = snapshot;
  await run().finally(() => (onChange = null));
  for (const path of paths) await endProcess(path);
  return paths;
}

describe("a run that is killed at any moment", () => {
  test.each(["out", "far/out", "empty", "mounted"])("of writing %s leaves nothing, or the whole output, to the next", (name) =>
    withFolder((folder) =>
      withFolder(async (copies) => {
        for (const made of ["empty", "mounted"]) await mkdir(join(folder, made));
        const moments = await momentsOf(folder, copies, () => write(join(folder, name), "new"));
        expect(moments.length).toBeGreaterThan(15);
        for (const moment of moments) {
          const out = join(moment, name);
          if (!["empty", "mounted"].includes(name)) expect([null, "new"]).toContain(await stateOf(out));
          // A file next to it: the next run need not be one to the same output.
          await write(join(dirname(out), "other"), "new");
          await write(out, "new").catch((error: unknown) => expect(error).toMatchObject({ code: "OUTPUT_EXISTS" }));
          expect(await stateOf(out)).toBe("new");
          expect(await temporaries(moment)).toEqual([]);
        }
      }),
    ),
  );

  test.each(["out", "mounted"])("of replacing %s leaves the old or the new output to the next", (name) =>
    withFolder((folder) =>
      withFolder(async (copies) => {
        if (name === "mounted") await mkdir(join(folder, name));
        await write(join(folder, name), "old");
        const moments = await momentsOf(folder, copies, () => write(join(folder, name), "new", true));
        expect(moments.length).toBeGreaterThan(15);
        const seen = new Set<string | null>();
        for (const moment of moments) {
          const out = join(moment, name);
          // Only between the two renames of a swap is nothing there; the next run finishes it.
          if (name === "out") expect([null, "old", "new"]).toContain(await stateOf(out));
          await expect(write(out, "other")).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
          seen.add(await stateOf(out));
          expect(await temporaries(moment)).toEqual([]);
        }
        expect(seen).toEqual(new Set(["old", "new"]));
      }),
    ),
  );
});

describe("a place", () => {
  test.each(["out", "empty", "mounted"])("that a run has is refused to another one at once: %s", (name) =>
    withFolder(async (folder) => {
      for (const made of ["empty", "mounted"]) await mkdir(join(folder, made));
      const out = join(folder, name);
      await withOutputFolder(out, {}, async (place) => {
        await expect(write(out, "other", true)).rejects.toMatchObject({
          code: "OUTPUT_BUSY",
          parts: {
            where: out,
            found: expect.stringMatching(
              new RegExp(`^another run that writes there \\(process ${process.pid}, since `),
            ) as string,
            remedy: "Wait until it ends, or choose another --out",
          },
        });
        await write(join(folder, "another"), "new");
        await place.write((temporary) => writeFile(join(temporary, "model.safetensors"), "new"));
      });
      expect(await temporaries(folder)).toEqual([]);
    }),
  );

  test("is given to exactly one of many runs that start together", () =>
    withFolder(async (folder) => {
      const out = join(folder, "far", "out");
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => write(out, "new")));
      const refused = results.filter((result) => result.status === "rejected");
      expect(refused).toHaveLength(7);
      for (const { reason } of refused) expect(["OUTPUT_BUSY", "OUTPUT_EXISTS"]).toContain((reason as { code: string }).code);
      expect(await stateOf(out)).toBe("new");
      expect(await temporaries(folder)).toEqual([]);
    }));

  test("next to others that start together is refused to none", () =>
    withFolder(async (folder) => {
      await mkdir(join(folder, stageName("killed")));
      await writeFile(join(folder, stageName("killed"), "owner-1"), ownerText(ENDED_MARK));
      const names = Array.from({ length: 8 }, (_, index) => `out-${index}`);
      await Promise.all([...names, "killed"].map((name) => write(join(folder, name), "new")));
      expect((await readdir(folder)).toSorted()).toEqual(["killed", ...names]);
    }));

  test.each([
    ["a killed process", ENDED_MARK],
    ["a process whose id is used again", REUSED_MARK],
  ])("of %s is free", (_, mark) =>
    withFolder(async (folder) => {
      const stage = join(folder, stageName("out"));
      await mkdir(join(stage, "new"), { recursive: true });
      await writeFile(join(stage, "new", "model.safetensors"), "half");
      await writeFile(join(stage, "owner-1"), ownerText(mark));
      await write(join(folder, "out"), "new");
      expect(await readdir(folder)).toEqual(["out"]);
    }),
  );

  test.each(["", "{", "[]"])("of a process that was killed while it took it ('%s') is free", (text) =>
    withFolder(async (folder) => {
      await mkdir(join(folder, stageName("out")));
      await writeFile(join(folder, stageName("out"), "owner-1"), text);
      await write(join(folder, "out"), "new");
      expect(await readdir(folder)).toEqual(["out"]);
    }),
  );

  test("of a process elsewhere is refused until it gives no sign of life for ten minutes", () =>
    withFolder(async (folder) => {
      const stage = join(folder, stageName("out"));
      const owner = join(stage, "owner-1");
      await mkdir(stage);
      await writeFile(owner, ownerText(ELSEWHERE_MARK));
      const seenBefore = (ms: number): Promise<void> => utimes(owner, new Date(), new Date(Date.now() - ms));
      await seenBefore(9 * 60_000);
      await expect(write(join(folder, "out"), "new")).rejects.toMatchObject({
        code: "OUTPUT_BUSY",
        parts: {
          found: expect.stringMatching(/process 4711 on other, last seen 5[34]\d s ago/) as string,
          remedy: expect.stringContaining(`if it has ended, remove ${stage}, or wait 10 minutes`) as string,
        },
      });
      await seenBefore(11 * 60_000);
      await write(join(folder, "out"), "new");
      expect(await readdir(folder)).toEqual(["out"]);
    }));
});

test("an output that was moved aside is kept if something else takes its place meanwhile", () =>
  withFolder(async (folder) => {
    const out = join(folder, "out");
    const stage = join(folder, stageName("out"));
    await write(out, "old");
    onChange = async () => {
      if ((await readdir(folder)).includes("out") || !(await readdir(stage)).includes("old")) return;
      onChange = null;
      await mkdir(out);
      await writeFile(join(out, "thesis"), "mine");
    };
    await expect(write(out, "new", true)).rejects.toMatchObject({ code: "OUTPUT_UNWRITABLE" });
    expect(await stateOf(join(stage, "old"))).toBe("old");
    await expect(write(out, "other", true)).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
    expect(await readFile(join(out, "thesis"), "utf8")).toBe("mine");
    expect(await stateOf(join(stage, "old"))).toBe("old");
    await rename(out, join(folder, "mine"));
    await expect(write(out, "other")).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
    expect(await stateOf(out)).toBe("new");
    expect((await readdir(folder)).toSorted()).toEqual(["mine", "out"]);
  }));

describe("what is named like a stage", () => {
  const link = (folder: string): Promise<void> => symlink("precious", join(folder, stageName("out")));

  test("but is a link, or holds files of the user, is left alone", () =>
    withFolder(async (folder) => {
      await mkdir(join(folder, "precious"));
      for (const name of ["thesis", "new"]) await writeFile(join(folder, "precious", name), "mine");
      await link(folder);
      await mkdir(join(folder, stageName("other")));
      await writeFile(join(folder, stageName("other"), "thesis"), "mine");
      await write(join(folder, "another"), "new");
      await expect(write(join(folder, "out"), "new")).rejects.toMatchObject({ code: "OUTPUT_UNWRITABLE" });
      await write(join(folder, "other"), "new");
      expect((await readdir(join(folder, "precious"))).toSorted()).toEqual(["new", "thesis"]);
      expect(await readdir(join(folder, stageName("other")))).toEqual(["thesis"]);
    }));

  test("does not make a file of the user be replaced", () =>
    withFolder(async (folder) => {
      const stage = join(folder, stageName("."));
      await mkdir(join(stage, "new"), { recursive: true });
      await writeFile(join(stage, "swap.json"), '{"name":null}');
      await writeFile(join(stage, "new", "thesis"), "other");
      const list = { format: "cusprun-files-1", files: { thesis: { bytes: 5 } } };
      await writeFile(join(stage, "new", "cusprun-files.json"), JSON.stringify(list));
      await writeFile(join(folder, "thesis"), "mine");
      await expect(write(folder, "new", true)).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      expect(await readFile(join(folder, "thesis"), "utf8")).toBe("mine");
    }));
});

test("a run shows that it is alive by writing to its owner's file", () =>
  withFolder(async (folder) => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      await withOutputFolder(join(folder, "out"), {}, async () => {
        const owner = join(folder, stageName("out"), "owner-1");
        const text = await readFile(owner, "utf8");
        await utimes(owner, 0, 0);
        vi.advanceTimersByTime(15_000);
        await vi.waitFor(async () => expect((await stat(owner)).mtimeMs).toBeGreaterThan(0));
        expect(await readFile(owner, "utf8")).toBe(text);
      });
    } finally {
      vi.useRealTimers();
    }
  }));
