/** @file Places of outputs: what is replaced, what never is, and where an output ends up. */

import { chmod, mkdir, readdir, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import type * as Folders from "../src/folders.ts";
import { withOutputFolder } from "../src/output-place.ts";
import { filling, outputTree, tree, writeOutput } from "./support/output-trees.ts";
import { withFolder } from "./support/temporary-folder.ts";

/** Folders whose name contains "mounted" cannot be moved aside, as if they were mount points. */
vi.mock("../src/mount-points.ts", () => ({
  isReplaceable: (path: string) => Promise.resolve(!path.includes("mounted")),
  isMountPoint: (path: string) => Promise.resolve(path.includes("mounted")),
}));

/** Disks whose name contains "full" have room for entries, but for no bytes. */
vi.mock("../src/folders.ts", async (importOriginal) => {
  const original = await importOriginal<typeof Folders>();
  const full = Object.assign(new Error("full"), { code: "ENOSPC", syscall: "fsync" });
  const syncTree = (path: string): Promise<void> => (path.includes("/full/") ? Promise.reject(full) : original.syncTree(path));
  return { ...original, syncTree };
});

const OLD = { "model.safetensors": "old weights", "part/onnx/model.onnx": "old graph", "only-old": "" };
const NEW = { "model.safetensors": "new weights", "part/config.json": "{}", "README.md": "card" };

describe("a folder", () => {
  test.each(["out", "empty", "not/yet/there", "link", "link-to-nothing", "mounted", "n".repeat(255)])(
    "at %s is written, replaced with overwrite, and nothing is left over",
    (name) =>
      withFolder(async (folder) => {
        for (const made of ["empty", "mounted", "elsewhere"]) await mkdir(join(folder, made));
        await symlink("elsewhere", join(folder, "link"));
        await symlink("far/away", join(folder, "link-to-nothing"));
        const out = join(folder, name);
        await writeOutput(out, OLD);
        expect(await outputTree(out)).toEqual(OLD);
        await expect(writeOutput(out, NEW)).rejects.toMatchObject({
          code: "OUTPUT_EXISTS",
          parts: { found: "a folder with 4 entries", remedy: "Choose another --out, or pass --overwrite to replace it" },
        });
        await writeOutput(out, NEW, { overwrite: true });
        expect(await outputTree(out)).toEqual(NEW);
        expect((await readdir(folder, { recursive: true })).filter((entry) => entry.includes(".cusprun-"))).toEqual([]);
        if (name.startsWith("link")) expect(await readlink(out)).toMatch(/elsewhere|far\/away/);
      }),
  );

  test.each(["mounted", "empty"])("that exists (%s) is filled and stays the same folder", (name) =>
    withFolder(async (folder) => {
      const out = join(folder, name);
      await mkdir(out);
      await chmod(out, 0o750);
      const { ino } = await stat(out);
      await writeOutput(out, OLD);
      expect(await stat(out)).toMatchObject({ ino, mode: 0o40750 });
      await writeOutput(out, NEW, { overwrite: true });
      expect((await stat(out)).mode).toBe(0o40750);
      if (name === "mounted") expect((await stat(out)).ino).toBe(ino);
    }),
  );

  test("that fails leaves the old one and no folder that was made for it", () =>
    withFolder(async (folder) => {
      const failing = (path: string, overwrite: boolean): Promise<void> =>
        withOutputFolder(path, { overwrite }, (place) =>
          place.write(async (temporary) => {
            await filling(NEW)(temporary);
            throw new Error("stop");
          }),
        );
      await expect(failing(join(folder, "not", "yet", "there"), false)).rejects.toThrow("stop");
      expect(await readdir(folder)).toEqual([]);
      for (const name of ["out", "mounted"]) {
        if (name === "mounted") await mkdir(join(folder, name));
        await writeOutput(join(folder, name), OLD);
        await expect(failing(join(folder, name), true)).rejects.toThrow("stop");
        expect(await outputTree(join(folder, name))).toEqual(OLD);
      }
    }));

  test("is refused before any work where it cannot be written", () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, "file"), "");
      await symlink("circle", join(folder, "circle"));
      const refused = async (path: string): Promise<unknown> => {
        let began = false;
        const error: unknown = await withOutputFolder(path, { overwrite: true }, () => {
          began = true;
          return Promise.resolve(null);
        }).catch((caught: unknown) => caught);
        expect(began).toBe(false);
        return error;
      };
      expect(await refused(join(folder, "file"))).toMatchObject({ code: "OUTPUT_EXISTS", parts: { found: "a file" } });
      for (const path of ["file/below", "circle", "circle/below", "n".repeat(256), `${"n".repeat(256)}/below`]) {
        expect(await refused(join(folder, path))).toMatchObject({
          code: "OUTPUT_UNWRITABLE",
          parts: { where: join(folder, path), remedy: "Choose another --out" },
        });
      }
      if (process.platform === "linux") expect(await refused("/proc/cusprun/out")).toMatchObject({ code: "OUTPUT_UNWRITABLE" });
      for (const path of ["", " ", "a\0b"]) expect(await refused(path)).toMatchObject({ code: "USAGE" });
      expect((await readdir(folder)).toSorted()).toEqual(["circle", "file"]);
    }));

  test("reports a full disk with the place as the user wrote it", () =>
    withFolder(async (folder) => {
      const full = Object.assign(new Error("full"), { code: "ENOSPC", syscall: "write" });
      const out = join(folder, "out");
      const writing = withOutputFolder(out, {}, (place) => place.write(() => Promise.reject(full)));
      await expect(writing).rejects.toMatchObject({
        code: "DISK_FULL",
        parts: { where: out, remedy: "Free space, or choose another --out; then run again" },
      });
      expect(await readdir(folder)).toEqual([]);
    }));
});

test("a place on a full disk is refused before the work, and nothing is left there", () =>
  withFolder(async (folder) => {
    const disk = join(folder, "full");
    await mkdir(disk);
    const work = vi.fn<() => Promise<void>>();
    await expect(withOutputFolder(join(disk, "out"), {}, work)).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(work).not.toHaveBeenCalled();
    expect(await readdir(disk)).toEqual([]);
  }));

describe("overwrite refuses", () => {
  /** Changes to an output after which it is not only what was written. */
  const CHANGES: Readonly<Record<string, readonly [(out: string) => Promise<void>, string]>> = {
    "a file of the user": [(out) => writeFile(join(out, "thesis.tex"), "mine"), "thesis.tex"],
    "a file of the user in a folder": [(out) => writeFile(join(out, "part", "notes"), "mine"), "part/notes"],
    "a folder of the user": [(out) => mkdir(join(out, "experts")).then(() => undefined), "experts/"],
    "a longer file": [(out) => writeFile(join(out, "only-old"), "mine"), "only-old (changed since)"],
    "an edited file": [(out) => writeFile(join(out, "model.safetensors"), "OLD WEIGHTS"), "model.safetensors (changed since)"],
    "a link": [
      async (out) => {
        await rm(join(out, "model.safetensors"));
        await symlink("/etc/hostname", join(out, "model.safetensors"));
      },
      "model.safetensors",
    ],
  };

  test.each(Object.keys(CHANGES))("an output with %s", (name) =>
    withFolder(async (folder) => {
      const [change, shown] = CHANGES[name]!;
      for (const out of [join(folder, "out"), join(folder, "mounted")]) {
        if (out.endsWith("mounted")) await mkdir(out);
        await writeOutput(out, OLD);
        await change(out);
        const before = await tree(folder);
        await expect(writeOutput(out, NEW, { overwrite: true })).rejects.toMatchObject({
          code: "OUTPUT_EXISTS",
          parts: { found: `files that cusprun did not write: ${shown}` },
        });
        expect(await tree(folder)).toEqual(before);
      }
    }),
  );

  test("an output that the user adds a file to while the run is working", () =>
    withFolder(async (folder) => {
      for (const out of [join(folder, "out"), join(folder, "mounted")]) {
        if (out.endsWith("mounted")) await mkdir(out);
        await writeOutput(out, OLD);
        const writing = withOutputFolder(out, { overwrite: true }, async (place) => {
          await writeFile(join(out, "thesis.tex"), "mine");
          await place.write(filling(NEW));
        });
        await expect(writing).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
        expect(await outputTree(out)).toEqual({ ...OLD, "thesis.tex": "mine" });
      }
    }));

  test.each(["no list", "not JSON", "{}", '{"format":"cusprun-files-1","files":{"../thesis.tex":{"bytes":4}}}'])(
    "a folder that was not written: %s",
    (list) =>
      withFolder(async (folder) => {
        const out = join(folder, "out");
        await mkdir(out);
        for (const name of ["a", "b", "c", "d", "e"]) await writeFile(join(out, name), "mine");
        await writeFile(join(folder, "thesis.tex"), "mine");
        if (list !== "no list") await writeFile(join(out, "cusprun-files.json"), list);
        const before = await tree(folder);
        await expect(writeOutput(out, NEW, { overwrite: true })).rejects.toMatchObject({
          code: "OUTPUT_EXISTS",
          parts: { found: expect.stringMatching(/^a folder that cusprun did not write, with a, b, c, .* and more$/) as string },
        });
        await expect(writeOutput(out, NEW)).rejects.toMatchObject({
          parts: { remedy: "Choose another --out: --overwrite replaces nothing but outputs of earlier runs" },
        });
        expect(await tree(folder)).toEqual(before);
      }),
  );

  test("but not an output of which files were removed", () =>
    withFolder(async (folder) => {
      const out = join(folder, "out");
      await writeOutput(out, OLD);
      await rm(join(out, "model.safetensors"));
      await rm(join(out, "part"), { recursive: true });
      await writeOutput(out, NEW, { overwrite: true });
      expect(await outputTree(out)).toEqual(NEW);
    }));

  test("nor one of an older version that is recognised", () =>
    withFolder(async (folder) => {
      for (const out of [join(folder, "out"), join(folder, "mounted")]) {
        await filling(OLD)(out);
        await writeOutput(out, NEW, { overwrite: true, recognises: (path) => Promise.resolve(path === out) });
        expect(await outputTree(out)).toEqual(NEW);
      }
    }));
});
