/** @file Atomic writes. */

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checkOutputFolder, writeFileAtomically, writeFolderAtomically } from "../src/files.ts";
import { withFolder } from "./support/temporary-folder.ts";

/** A process id that no process has: above the largest on Linux. */
const DEAD_PROCESS = 4_194_305;

const systemError = (code: string): Error => Object.assign(new Error(code), { code });

describe("a file", () => {
  test("appears complete", () =>
    withFolder(async (folder) => {
      await writeFileAtomically(join(folder, "deep", "file"), (temporary) => writeFile(temporary, "new"));
      expect(await readFile(join(folder, "deep", "file"), "utf8")).toBe("new");
      expect(await readdir(join(folder, "deep"))).toEqual(["file"]);
    }));

  test.each([
    ["ENOSPC", "DISK_FULL", "Free space"],
    ["EDQUOT", "DISK_FULL", "Free space"],
    ["EACCES", "OUTPUT_UNWRITABLE", "--out"],
    ["EROFS", "OUTPUT_UNWRITABLE", "--out"],
  ])("is unchanged after %s", (system, code, remedy) =>
    withFolder(async (folder) => {
      const path = join(folder, "file");
      await writeFile(path, "old");
      const writing = writeFileAtomically(path, async (temporary) => {
        await writeFile(temporary, "half");
        throw systemError(system);
      });
      await expect(writing).rejects.toMatchObject({
        code,
        parts: { where: path, remedy: expect.stringContaining(remedy) as string },
      });
      expect(await readFile(path, "utf8")).toBe("old");
      expect(await readdir(folder)).toEqual(["file"]);
    }),
  );

  test("is rejected below a path that is a file", () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, "file"), "");
      await expect(writeFileAtomically(join(folder, "file", "below"), () => Promise.resolve())).rejects.toMatchObject({
        code: "OUTPUT_UNWRITABLE",
      });
    }));
});

describe("a folder", () => {
  test("appears complete, and replaces an existing one only with overwrite", () =>
    withFolder(async (folder) => {
      const target = join(folder, "out");
      const write = (name: string) => (temporary: string) => writeFile(join(temporary, name), name);
      await mkdir(target);
      await writeFolderAtomically(target, false, write("a"));
      await expect(writeFolderAtomically(target, false, write("b"))).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      expect(await readdir(target)).toEqual(["a"]);
      await writeFolderAtomically(target, true, write("c"));
      expect(await readdir(target)).toEqual(["c"]);
    }));

  test("is not a file", () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, "file"), "");
      await expect(checkOutputFolder(join(folder, "file"), true)).rejects.toMatchObject({
        code: "OUTPUT_EXISTS",
        parts: { found: "a file" },
      });
    }));

  test("removes what a killed process left behind, and nothing of a running one", () =>
    withFolder(async (folder) => {
      await mkdir(join(folder, `.out.cusprun-${DEAD_PROCESS}`));
      await mkdir(join(folder, `.out.cusprun-${process.ppid}`));
      await mkdir(join(folder, ".other.cusprun-1"));
      await writeFolderAtomically(join(folder, "out"), false, () => Promise.resolve());
      expect((await readdir(folder)).toSorted()).toEqual([".other.cusprun-1", `.out.cusprun-${process.ppid}`, "out"].toSorted());
    }));
});
