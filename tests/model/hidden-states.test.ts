/** @file Hidden states in memory and in a scratch file, and what happens if the file cannot be written or read. */

import { mkdir, open, readdir } from "node:fs/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { openHiddenStates, scratchFolder } from "../../src/model/hidden-states.ts";
import { openScratchFiles, withScratch } from "../support/memory-limits.ts";
import { withFolder } from "../support/temporary-folder.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

describe("hidden states", () => {
  test.each([false, true])("are read as they were set, spilled: %s", (spills) =>
    withFolder(async (folder) => {
      vi.stubEnv("CUSPRUN_CACHE", folder);
      await mkdir(scratchFolder(), { recursive: true });
      const states = await openHiddenStates([3, 2, 4, 1], spills);
      await states.set(1, Float32Array.of(1, 2));
      await states.set(2, Float32Array.of(3, 4, 5, 6));
      await states.set(0, Float32Array.of(7, 8, 9));
      await states.set(1, Float32Array.of(-1, -2));
      expect([...(await states.get(0))]).toEqual([7, 8, 9]);
      expect([...(await states.get(1))]).toEqual([-1, -2]);
      expect([...(await states.get(2))]).toEqual([3, 4, 5, 6]);
      expect([...(await states.get(3))]).toEqual([0]);
      // On Windows the name may be kept until the end.
      if (process.platform !== "win32") expect(await readdir(scratchFolder())).toEqual([]);
      await states.close();
      await states.close();
      expect(await readdir(scratchFolder())).toEqual([]);
      expect(await openScratchFiles()).toEqual([]);
      vi.unstubAllEnvs();
    }),
  );

  test("errors name the problem with the disk", () =>
    withScratch(async () => {
      const states = await openHiddenStates([2], true);
      await states.set(0, Float32Array.of(1, 2));
      const probe = await open(import.meta.filename);
      const handles = Object.getPrototypeOf(probe) as { read: () => unknown; write: () => unknown };
      await probe.close();
      vi.spyOn(handles, "write").mockRejectedValueOnce(Object.assign(new Error("full"), { code: "ENOSPC", syscall: "write" }));
      await expect(states.set(0, Float32Array.of(1, 2))).rejects.toMatchObject({
        code: "DISK_FULL",
        parts: { where: scratchFolder(), remedy: expect.stringContaining("set CUSPRUN_CACHE to a folder elsewhere") as string },
      });
      vi.spyOn(handles, "read").mockRejectedValueOnce(Object.assign(new Error("broken"), { code: "EIO", syscall: "read" }));
      await expect(states.get(0)).rejects.toMatchObject({ code: "SCRATCH_LOST" });
      vi.spyOn(handles, "read").mockResolvedValueOnce({ bytesRead: 0 });
      await expect(states.get(0)).rejects.toMatchObject({ code: "SCRATCH_LOST" });
      await states.close();
    }));

  test("need a writable folder", async () => {
    vi.stubEnv("CUSPRUN_CACHE", "/dev/null/cache");
    await expect(openHiddenStates([1], true)).rejects.toMatchObject({ code: "OUTPUT_UNWRITABLE" });
    vi.unstubAllEnvs();
  });
});
