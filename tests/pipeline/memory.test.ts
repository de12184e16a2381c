/** @file Memory of a whole run: the plan before it, and limits that are refused. */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { PruneOptions } from "../../src/pipeline/prepare-prune.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

async function prepare(folder: string, changes: Partial<PruneOptions> = {}): Promise<PruneOptions> {
  const model = join(folder, "model");
  await writeTinyCheckpoint(model, tinyModel("llama", { intermediateSize: 128, numHiddenLayers: 2 }), "BF16");
  return {
    model,
    corpora: { language: [await writeTinyCorpus(join(folder, "language.jsonl"))] },
    corpusOptions: { documents: 8, heldOutDocuments: 3 },
    selection: { budget: "25% of blocks", layout: "ragged" },
    out: join(folder, "expert"),
    work: join(folder, "work"),
    ...changes,
  };
}

test("a run reports before it scores what its stages need, and stays within the largest need", () =>
  withFolder(async (folder) => {
    const events: ProgressEvent[] = [];
    const { memory } = await pruneModel(await prepare(folder, { onProgress: (event) => events.push(event) }));
    expect(memory.stages.map(({ stage, spills }) => [stage, spills])).toEqual([
      ["scoring", false],
      ["trying cuts", false],
      ["repairing", false],
      ["measuring", false],
      ["writing", false],
    ]);
    const peak = Math.max(...memory.stages.map(({ peakBytes }) => peakBytes));
    const order = events.map(({ stage }) => stage);
    expect(order.indexOf("memory at most")).toBeLessThan(order.indexOf("scoring"));
    expect(events).toContainEqual({ stage: "memory at most", done: peak, total: memory.limitBytes, unit: "bytes" });
    const again = await prepare(folder, { memoryLimit: peak, overwrite: true, work: join(folder, "another") });
    expect((await pruneModel(again)).memory).toEqual({ ...memory, limitBytes: peak });
  }));

test("a limit below the program's own memory is refused before any work", () =>
  withFolder(async (folder) => {
    const stages = new Set<string>();
    const onProgress = ({ stage }: ProgressEvent): unknown => stages.add(stage);
    const options = await prepare(folder, { memoryLimit: 1e8, onProgress });
    await expect(pruneModel(options)).rejects.toMatchObject({
      code: "MEMORY_LIMIT",
      message: expect.stringMatching(/a limit of 96 MiB, expected at least \d{3} MiB/) as string,
    });
    expect(stages.has("scoring")).toBe(false);
    expect(await readdir(folder)).not.toContain("expert");
  }));
