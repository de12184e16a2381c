/** @file Folders to which files are added one by one. */

import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { withSharedFolder } from "../src/shared-folder.ts";
import { withFolder } from "./support/temporary-folder.ts";

describe("a folder to which files are added", () => {
  test("is reserved, kept if it holds something, and otherwise removed with its parents", () =>
    withFolder(async (folder) => {
      const path = join(folder, "far", "comparison");
      await expect(withSharedFolder(path, () => Promise.reject(new Error("stop")))).rejects.toThrow("stop");
      expect(await readdir(folder)).toEqual([]);
      await withSharedFolder(path, async () => {
        await expect(withSharedFolder(path, () => Promise.resolve())).rejects.toMatchObject({ code: "OUTPUT_BUSY" });
        await writeFile(join(path, "results.json"), "");
      });
      expect(await readdir(path)).toEqual(["results.json"]);
      await rm(path, { recursive: true });
      await writeFile(path, "");
      await expect(withSharedFolder(path, () => Promise.resolve())).rejects.toMatchObject({ code: "OUTPUT_UNWRITABLE" });
    }));
});
