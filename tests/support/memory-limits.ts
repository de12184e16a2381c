/**
 * @file Memory limits that make a stage take every way it has, and what it leaves in the scratch folder.
 */

import { readdir, readlink } from "node:fs/promises";
import { expect, vi } from "vitest";
import type { TokenDocument } from "../../src/corpora/corpus.ts";
import { scratchFolder } from "../../src/model/hidden-states.ts";
import { planMemory, type MemoryPlan, type MemoryRequest } from "../../src/model/memory-plan.ts";
import { withFolder } from "./temporary-folder.ts";
import { seededNormal } from "./tiny-models.ts";

/** Documents of unlike length of random tokens: several of the smallest batches. */
export function randomDocuments(lengths: readonly number[], vocabSize: number): TokenDocument[] {
  const random = seededNormal(11);
  return lengths.map((length, index) => ({
    tokens: Int32Array.from({ length }, () => Math.floor(Math.abs(random() * 1e4)) % vocabSize),
    byteLength: length,
    source: `${index}`,
  }));
}

/** The most that a stage takes, what it takes with a scratch file, and the least that it can do with. */
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

/** Runs work with a cache of its own, and checks that scratch files were made and that none is left, nor an open one. */
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

/** Scratch files that this process holds open, as far as the system tells. */
export async function openScratchFiles(): Promise<string[]> {
  if (process.platform !== "linux") return [];
  const links = await Promise.all((await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return links.filter((link) => link.startsWith(scratchFolder()));
}
