/** @file Atomic writes of one file, and what killed processes leave behind. */

import { mkdir, readdir, readFile, rename, symlink, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { writeFileAtomically } from "../src/atomic-write.ts";
import { ownMark, processState } from "../src/process-mark.ts";
import { temporaryPath, withTemporaryFolder } from "../src/temporary-files.ts";
import { ELSEWHERE_MARK, ENDED_MARK, REUSED_MARK } from "./support/ended-process.ts";
import { withFolder } from "./support/temporary-folder.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

const [machine = ""] = ownMark().split("-");

const systemError = (code: string): Error => Object.assign(new Error(code), { code, syscall: "write" });

/** Names of temporary files of other processes. */
const OTHERS = {
  killed: `.cusprun-${ENDED_MARK}-00000000`,
  reusedId: `.cusprun-${REUSED_MARK}-00000000`,
  running: `.cusprun-${ownMark()}-00000000`,
  elsewhere: `.cusprun-${ELSEWHERE_MARK}-00000000`,
};

describe("a file", () => {
  test("appears complete, in folders that are made for it", () =>
    withFolder(async (folder) => {
      await writeFileAtomically(join(folder, "deep", "down", "file"), (temporary) => writeFile(temporary, "new"));
      expect(await readFile(join(folder, "deep", "down", "file"), "utf8")).toBe("new");
      expect(await readdir(join(folder, "deep", "down"))).toEqual(["file"]);
    }));

  test("may have the longest name that the system allows", () =>
    withFolder(async (folder) => {
      const name = "n".repeat(255);
      await writeFileAtomically(join(folder, name), (temporary) => writeFile(temporary, "new"));
      expect(await readdir(folder)).toEqual([name]);
    }));

  test.each([
    ["ENOSPC", "DISK_FULL", "Free space, or choose another --out"],
    ["EDQUOT", "DISK_FULL", "Free space, or choose another --out"],
    ["EACCES", "OUTPUT_UNWRITABLE", "Choose another --out"],
    ["EROFS", "OUTPUT_UNWRITABLE", "Choose another --out"],
    ["EIO", "OUTPUT_UNWRITABLE", "Choose another --out"],
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

  test("that fails leaves none of the folders that were made for it", () =>
    withFolder(async (folder) => {
      await mkdir(join(folder, "there"));
      const path = join(folder, "there", "made", "too", "file");
      await expect(writeFileAtomically(path, () => Promise.reject(new Error("stop")))).rejects.toThrow("stop");
      expect(await readdir(folder, { recursive: true })).toEqual(["there"]);
    }));

  test.each([
    ["file/below", "a file where a folder is expected (ENOTDIR)"],
    ["file/far/below", "a file where a folder is expected (ENOTDIR)"],
    [`${"n".repeat(256)}/file`, "a name longer than the file system allows (ENAMETOOLONG)"],
    ["n".repeat(256), "a name longer than the file system allows (ENAMETOOLONG)"],
    ["circle/file", "links that lead in a circle (ELOOP)"],
    ["folder", "a folder (EISDIR)"],
  ])("is refused at %s", (path, found) =>
    withFolder(async (folder) => {
      await writeFile(join(folder, "file"), "");
      await mkdir(join(folder, "folder"));
      await symlink("circle", join(folder, "circle"));
      const writing = writeFileAtomically(join(folder, path), (temporary) => writeFile(temporary, ""), "--work");
      await expect(writing).rejects.toMatchObject({
        code: "OUTPUT_UNWRITABLE",
        parts: { where: join(folder, path), found, remedy: "Choose another --work" },
      });
    }),
  );

  // Node 20's own recursive mkdir never returns there.
  test.runIf(process.platform === "linux")("is refused below /proc", async () => {
    await expect(writeFileAtomically("/proc/cusprun/work/file", () => Promise.resolve())).rejects.toMatchObject({
      code: "OUTPUT_UNWRITABLE",
      parts: { found: "no such file or folder (ENOENT)" },
    });
  });
});

describe("temporary files", () => {
  test("of processes that ended are removed, and nothing else", () =>
    withFolder(async (folder) => {
      const others = [".cusprun-1", `${OTHERS.killed}0`, `x${OTHERS.killed}`, ".file.cusprun-4194305", ".cusprun-mine"];
      for (const name of [...Object.values(OTHERS), ...others]) await mkdir(join(folder, name, "full"), { recursive: true });
      await writeFileAtomically(join(folder, "file"), (temporary) => writeFile(temporary, ""));
      expect((await readdir(folder)).toSorted()).toEqual([...others, OTHERS.running, OTHERS.elsewhere, "file"].toSorted());
    }));

  test("of another machine are removed after a day without a change", () =>
    withFolder(async (folder) => {
      const path = join(folder, OTHERS.elsewhere);
      await writeFile(path, "");
      const write = (): Promise<void> => writeFileAtomically(join(folder, "file"), (temporary) => writeFile(temporary, ""));
      await utimes(path, new Date(), new Date(Date.now() - DAY_MS / 2));
      await write();
      expect(await readdir(folder)).toContain(OTHERS.elsewhere);
      await utimes(path, new Date(), new Date(Date.now() - 2 * DAY_MS));
      await write();
      expect(await readdir(folder)).toEqual(["file"]);
    }));

  test("that a nested write leaves are recognised too", () =>
    withFolder(async (folder) => {
      const names: string[] = [];
      await writeFileAtomically(join(folder, "file"), async (outer) => {
        await writeFileAtomically(outer, async (inner) => {
          names.push(basename(outer), basename(inner));
          await writeFile(inner, "");
        });
      });
      for (const name of names) {
        expect(name).toMatch(/^\.cusprun-[0-9a-f]{12}-\d+-\d+-[0-9a-f]{8}$/);
        await writeFile(join(folder, name.replace(ownMark(), ENDED_MARK)), "");
      }
      await writeFileAtomically(join(folder, "file"), (temporary) => writeFile(temporary, ""));
      expect(await readdir(folder)).toEqual(["file"]);
    }));

  test("that are links are removed without what they lead to", () =>
    withFolder(async (folder) => {
      await mkdir(join(folder, "precious"));
      await writeFile(join(folder, "precious", "thesis"), "mine");
      await symlink("precious", temporaryPath(folder));
      const link = (await readdir(folder)).find((name) => name.startsWith(".cusprun-")) ?? "";
      await rename(join(folder, link), join(folder, OTHERS.killed));
      await writeFileAtomically(join(folder, "file"), (temporary) => writeFile(temporary, ""));
      expect((await readdir(folder)).toSorted()).toEqual(["file", "precious"]);
      expect(await readdir(join(folder, "precious"))).toEqual(["thesis"]);
    }));
});

describe("a temporary folder", () => {
  const inTemporary = (root: string, work: (folder: string) => Promise<unknown>): Promise<unknown> => {
    vi.stubEnv("TMPDIR", root);
    return withTemporaryFolder(work).finally(() => vi.unstubAllEnvs());
  };

  test("exists while it is used; those of killed processes are removed", () =>
    withFolder(async (root) => {
      await mkdir(join(root, OTHERS.killed, "model"), { recursive: true });
      await inTemporary(root, async (folder) => {
        expect(await readdir(root)).toEqual([basename(folder)]);
        await writeFile(join(folder, "file"), "");
      });
      expect(await readdir(root)).toEqual([]);
    }));

  test("names TMPDIR if it cannot be written", () =>
    withFolder(async (root) => {
      await expect(inTemporary(join(root, "nowhere"), () => Promise.resolve())).rejects.toMatchObject({
        code: "OUTPUT_UNWRITABLE",
        parts: { where: join(root, "nowhere"), remedy: "Set TMPDIR to a folder elsewhere" },
      });
      await expect(inTemporary(root, () => Promise.reject(systemError("ENOSPC")))).rejects.toMatchObject({
        code: "DISK_FULL",
        parts: { where: root, remedy: "Free space, or set TMPDIR to a folder elsewhere; then run again" },
      });
      const reading = Object.assign(new Error("EIO"), { code: "EIO", syscall: "read" });
      await expect(inTemporary(root, () => Promise.reject(reading))).rejects.toBe(reading);
      expect(await readdir(root)).toEqual([]);
    }));
});

describe("the mark of a process", () => {
  test.each([
    ["its own", ownMark(), "running"],
    ["its parent's id with another start", `${machine}-${process.ppid}-1`, process.platform === "linux" ? "ended" : "running"],
    ["its parent's id without a start", `${machine}-${process.ppid}-0`, "running"],
    ["its own id before it was reused", REUSED_MARK, process.platform === "linux" ? "ended" : "running"],
    ["no process", ENDED_MARK, "ended"],
    ["another machine", ELSEWHERE_MARK, "elsewhere"],
  ])("%s", (_, mark, state) => {
    expect(processState(mark)).toBe(state);
  });
});
