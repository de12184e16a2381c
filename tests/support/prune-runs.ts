/**
 * @file Shared by the tests of whole runs: a folder with a tiny model and corpora, and the stages of a run.
 */

import { join } from "node:path";
import type { PruneOptions } from "../../src/pipeline/prepare-prune.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { writeTinyCorpus } from "./tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "./tiny-models.ts";

/** Sizes of the model. */
export const SIZES = { intermediateSize: 128, numHiddenLayers: 2 };

/** A folder with a tiny model, two corpora, and options that make an expert of them. */
export async function preparePrune(folder: string, changes: Partial<PruneOptions> = {}): Promise<PruneOptions> {
  const model = join(folder, "model");
  await writeTinyCheckpoint(model, tinyModel("llama", SIZES), "BF16");
  return {
    model,
    corpora: {
      language: [await writeTinyCorpus(join(folder, "language.jsonl"), { seed: 1 })],
      domain: [await writeTinyCorpus(join(folder, "domain.jsonl"), { seed: 2, vocabulary: 12 })],
    },
    corpusOptions: { documents: 8, heldOutDocuments: 3 },
    selection: { budget: "25% of blocks", layout: "uniform" },
    out: join(folder, "expert"),
    work: join(folder, "work"),
    ...changes,
  };
}

/** Runs, and returns the names of its stages. */
export async function stagesOf(options: PruneOptions): Promise<Set<string>> {
  const stages = new Set<string>();
  await pruneModel({ ...options, onProgress: ({ stage }: ProgressEvent) => stages.add(stage) });
  return stages;
}
