/**
 * @file Memory limits that make a stage use each of its strategies, and the files that it leaves in the scratch folder.
 */

import { readdir, readlink } from "node:fs/promises";
import { expect, vi } from "vitest";
import type { TokenDocument } from "../../src/corpora/corpus.ts";
import { scratchFolder } from "../../src/model/hidden-states.ts";
import { planMemory, type MemoryPlan, type MemoryRequest } from "../../src/model/memory-plan.ts";
import { withFolder } from "./temporary-folder.ts";
import { seededNormal } from "./tiny-models.ts";

/** Documents of different lengths with random tokens: several of the smallest batches. */
export function randomDocuments(lengths: readonly number[], vocabSize: number): TokenDocument[] {
  const random = seededNormal(11);
  return lengths.map((length, index) => ({
    tokens: Int32Array.from({ length }, () => Math.floor(Math.abs(random() * 1e4)) % vocabSize),
    byteLength: length,
    source: `${index}`,
  }));
}

/** The most memory that a stage uses, what it uses with a scratch file, and the least that it can work with. */
export function plansOf(request: MemoryRequest): Readonly<Record<"inMemory" | "spilled" | "smallest", MemoryPlan>> {
  const inMemory = planMemory(request, Number.POSITIVE_INFINITY);
  const spilled = planMemory(request, inMemory.peakBytes - 1);
  let smallest = spilled;
  for (;;) {
    try {
      smallest = planMemory(request, smallest.peakBytes - 1);
    } catch {
      return { inMemory, spilled, smallest };
    }
  }
}

/** Runs work with its own cache, and checks that scratch files were made and that none is left, deleted or open. */
export function withScratch<T>(work: () => Promise<T>): Promise<T> {
  return withFolder(async (folder) => {
    vi.stubEnv("CUSPRUN_CACHE", folder);
    try {
      const result = await work();
      expect(await readdir(scratchFolder())).toEqual([]);
      expect(await openScratchFiles()).toEqual([]);
      return result;
    } finally {
      vi.unstubAllEnvs();
    }
  });
}

/** Scratch files that this process holds open, if the system reports them. */
export async function openScratchFiles(): Promise<string[]> {
  if (process.platform !== "linux") return [];
  const links = await Promise.all((await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return links.filter((link) => link.startsWith(scratchFolder()));
}
