/** @file Every stage under memory limits, against its results without a limit. */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SafetensorsFile } from "../../src/checkpoint/safetensors/read.ts";
import type { Corpus } from "../../src/corpora/corpus.ts";
import { sumLogLikelihoods } from "../../src/evaluation/likelihoods.ts";
import { measureLayerDamage } from "../../src/evaluation/layer-damage.ts";
import { UNIT_KINDS, type RelevanceKind } from "../../src/model/units.ts";
import type { VocabularyFacts } from "../../src/scoring/token-relevance.ts";
import { scoreCorpora } from "../../src/scoring/score.ts";
import { asWeightSource, cutExpert } from "../../src/surgery/expert.ts";
import { repairExpert } from "../../src/surgery/repair.ts";
import { holdBack } from "../../src/surgery/repair-documents.ts";
import { worstRelativeError } from "../support/forward-goldens.ts";
import { plansOf, randomDocuments, withScratch } from "../support/memory-limits.ts";
import { planOf } from "../support/plans.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

/** Other batches are summed in another order: in f32, at most hundreds of terms. */
const TOLERANCE = 1e-5;
/** A fit amplifies errors of its sums by the condition number of its system, which the ridge keeps low. */
const FIT_TOLERANCE = 1e-4;
/** Divergences are differences of logits of a few tenths, see tests/evaluation/layer-damage.test.ts. */
const DIVERGENCE_TOLERANCE = 1e-3;

/** Together more than one of the largest batches. */
const LENGTHS = [...Array.from({ length: 24 }, () => 90), 61, 33, 33, 30, 20, 17, 12, 9, 5, 5, 2];
const KINDS: readonly RelevanceKind[] = [...UNIT_KINDS, "q-row", "k-row", "o-column"];

const model = tinyModel("llama");
const checkpoint = tinyCheckpoint(model, "F32");
const { config } = model;
const documents = randomDocuments(LENGTHS, config.vocabSize);

describe("under a limit", () => {
  const corpora: readonly Corpus[] = [{ dimension: "language", label: "random", calibration: documents, heldOut: [] }];
  const counts = (): Float64Array => new Float64Array(config.vocabSize).fill(1);
  const facts: VocabularyFacts = {
    counts: new Map([["language", { halves: [counts(), counts()], words: null }]]),
    derivations: new Map(),
    alwaysKept: new Set(),
  };
  const scoring = {
    stage: "scoring",
    config,
    lengths: LENGTHS,
    kinds: KINDS,
    mapChange: "first-order",
    vocabulary: true,
  } as const;
  const score = (out: string, memoryLimit: number, more = {}): Promise<void> =>
    scoreCorpora(checkpoint, corpora, out, { kinds: KINDS, vocabulary: facts, memoryLimit, ...more });

  test("scores equal those without a limit", () =>
    withFolder(async (folder) => {
      const { inMemory, spilled, smallest } = plansOf(scoring);
      expect(spilled).toMatchObject({ spills: true, batchTokens: 512 });
      expect(smallest).toMatchObject({ spills: true, batchTokens: 64 });
      const paths = [inMemory, spilled, smallest].map((_, index) => join(folder, `${index}.safetensors`));
      await score(paths[0]!, inMemory.peakBytes);
      await withScratch(() => score(paths[1]!, spilled.peakBytes));
      await withScratch(() => score(paths[2]!, smallest.peakBytes));
      await expectEqualFiles(paths[0]!, paths[1]!, 0);
      await expectEqualFiles(paths[0]!, paths[2]!, TOLERANCE);
    }));

  test("neither an abort nor too small a limit leaves a file", () =>
    withFolder(async (folder) => {
      const { smallest } = plansOf(scoring);
      const out = join(folder, "scores.safetensors");
      const controller = new AbortController();
      const onProgress = ({ done, total }: { done: number; total: number | null }): void => {
        if (done > total! / 2) controller.abort(new Error("enough"));
      };
      await withScratch(() =>
        expect(score(out, smallest.peakBytes, { signal: controller.signal, onProgress })).rejects.toThrow("enough"),
      );
      await expect(score(out, smallest.peakBytes - 1)).rejects.toMatchObject({ code: "MEMORY_LIMIT" });
      expect(await readdir(folder)).toEqual([]);
    }));

  test("likelihoods equal those without a limit", async () => {
    const requests = documents.map(({ tokens }) => ({ input: tokens.slice(0, -1), targets: tokens.slice(1) }));
    const plans = plansOf({ stage: "measuring", config, lengths: requests.map(({ input }) => input.length) });
    const expected = await sumLogLikelihoods(checkpoint, requests, "test", {});
    for (const { peakBytes } of [plans.spilled, plans.smallest]) {
      const actual = await withScratch(() => sumLogLikelihoods(checkpoint, requests, "test", { memoryLimit: peakBytes }));
      expect(worstRelativeError(actual, expected)).toBeLessThan(TOLERANCE);
    }
  });

  const { numHiddenLayers: L } = config;
  const removed = [0, 2, 3, 6, 9];
  const cutsOf = (layers: readonly number[]): ReturnType<typeof planOf> =>
    planOf(
      "ragged",
      Array.from({ length: L }, (_, layer) => (layers.includes(layer) ? { ffn: removed } : {})),
    );

  test("damage equals that without a limit", async () => {
    const trials = Array.from({ length: L }, (_, layer) => ({
      layer,
      cut: asWeightSource(cutExpert(checkpoint, cutsOf([layer]))),
      repair: "down" as const,
    }));
    const texts = { measured: documents, fitted: documents.toReversed() };
    const plans = plansOf({ stage: "trying cuts", config, lengths: LENGTHS, trials: L, repairs: true });
    const expected = await measureLayerDamage(checkpoint, trials, texts, {});
    for (const { peakBytes } of [plans.spilled, plans.smallest]) {
      const actual = await withScratch(() => measureLayerDamage(checkpoint, trials, texts, { memoryLimit: peakBytes }));
      for (const [trial, values] of actual.entries())
        expect(worstRelativeError(values, expected[trial]!)).toBeLessThan(DIVERGENCE_TOLERANCE);
    }
  });

  test("a repair equals that without a limit", () =>
    withFolder(async (folder) => {
      const plan = cutsOf([0, 1]);
      const plans = plansOf({ stage: "repairing", config, lengths: LENGTHS, expert: cutExpert(checkpoint, plan).config });
      const repair = (out: string, memoryLimit: number): Promise<void> =>
        repairExpert(checkpoint, cutExpert(checkpoint, plan), plan, holdBack(documents), out, { memoryLimit });
      const [inMemory, spilled, smallest] = ["a", "b", "c"].map((name) => join(folder, name)) as [string, string, string];
      await repair(inMemory, plans.inMemory.peakBytes);
      await withScratch(() => repair(spilled, plans.spilled.peakBytes));
      await withScratch(() => repair(smallest, plans.smallest.peakBytes));
      await expectEqualFiles(inMemory, spilled, 0);
      await expectEqualFiles(inMemory, smallest, FIT_TOLERANCE);
    }));
});

/** Compares every tensor of two files. */
async function expectEqualFiles(expectedPath: string, actualPath: string, tolerance: number): Promise<void> {
  const [expected, actual] = [await SafetensorsFile.open(expectedPath), await SafetensorsFile.open(actualPath)];
  expect([...actual.tensors.keys()]).toEqual([...expected.tensors.keys()]);
  for (const name of expected.tensors.keys()) {
    const values = await expected.readFloat32(name);
    if (values.every((value) => value === 0)) expect(await actual.readFloat32(name), name).toEqual(values);
    else expect(worstRelativeError(await actual.readFloat32(name), values), name).toBeLessThanOrEqual(tolerance);
  }
  await expected.close();
  await actual.close();
}
