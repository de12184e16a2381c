/** @file Memory: the planner against its formula, and results under limits against those without. */

import { mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { SafetensorsFile } from "../../src/checkpoint/safetensors/read.ts";
import type { Corpus } from "../../src/corpora/corpus.ts";
import { sumLogLikelihoods } from "../../src/evaluation/likelihoods.ts";
import { measureLayerDamage } from "../../src/evaluation/layer-damage.ts";
import { openHiddenStates, scratchFolder } from "../../src/model/hidden-states.ts";
import { defaultMemoryLimit, planMemory, type MemoryRequest } from "../../src/model/memory-plan.ts";
import { UNIT_KINDS, type RelevanceKind } from "../../src/model/units.ts";
import type { VocabularyFacts } from "../../src/scoring/token-relevance.ts";
import { scoreCorpora } from "../../src/scoring/score.ts";
import { asWeightSource, cutExpert } from "../../src/surgery/expert.ts";
import { repairExpert } from "../../src/surgery/repair.ts";
import { worstRelativeError } from "../support/forward-goldens.ts";
import { openScratchFiles, plansOf, randomDocuments, withScratch } from "../support/memory-limits.ts";
import { planOf } from "../support/plans.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

/** Other batches add up in another order: sums of f32, of hundreds of terms at most. */
const TOLERANCE = 1e-5;
/** A fit's solution follows its sums with the system's condition, which the ridge keeps low. */
const FIT_TOLERANCE = 1e-4;
/** Divergences are differences of logits of a few tenths, see tests/evaluation/layer-damage.test.ts. */
const DIVERGENCE_TOLERANCE = 1e-3;

/** More than one of the largest batches. */
const LENGTHS = [...Array.from({ length: 24 }, () => 90), 61, 33, 33, 30, 20, 17, 12, 9, 5, 5, 2];
const KINDS: readonly RelevanceKind[] = [...UNIT_KINDS, "q-row", "k-row", "o-column"];

const model = tinyModel("llama");
const checkpoint = tinyCheckpoint(model, "F32");
const { config } = model;
const documents = randomDocuments(LENGTHS, config.vocabSize);

afterEach(() => {
  vi.restoreAllMocks();
});

describe("the planner", () => {
  /** Llama 3 8B. */
  const large = {
    ...config,
    hiddenSize: 4096,
    headDim: 128,
    vocabSize: 128_256,
    numHiddenLayers: 2,
    layerSizes: Array.from({ length: 2 }, () => ({ intermediateSize: 14_336, numAttentionHeads: 32, numKeyValueHeads: 8 })),
  };
  const weights = 4 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14_336 * 4096);
  const garbage = 2 * 128e6;
  const program = 250e6 + 900 * 128_256;
  // 32 documents of 2048 tokens, each a batch; their attention is wider than the FFN's three activations.
  const lengths = Array.from({ length: 32 }, () => 2048);
  const batch = 4 * 2048 * (6 * 4096 + Math.max(2 * (32 + 16) * 128 + 2 * 32 * 2048, 3 * 14_336));

  test("adds up scoring, measuring and repair of known shapes", () => {
    const states = 4 * 32 * 2048 * 4096;
    const scores = 4 * 32 * 14_336;
    const scoring = {
      stage: "scoring",
      config: large,
      lengths,
      kinds: ["ffn"],
      mapChange: "first-order",
      vocabulary: false,
    } as const;
    expect(planMemory(scoring, 1e12)).toEqual({
      stage: "scoring",
      batchTokens: 512,
      spills: false,
      peakBytes: program + states + scores + weights + garbage + batch,
    });
    // Six maps and the products of pairs are wider than the FFN's activations.
    const maps = 2 * (32 + 16) * 128 + 10 * 32 * 128 + 6 * 32 * 2048;
    expect(planMemory({ ...scoring, kinds: ["q-row"], mapChange: "exact" }, 1e12).peakBytes).toBe(
      program + states + 4 * 32 * 4096 + weights + garbage + 4 * 2048 * (6 * 4096 + maps),
    );
    expect(planMemory({ stage: "measuring", config: large, lengths }, 1e12).peakBytes).toBe(
      program + states + weights + garbage + batch,
    );
    expect(planMemory({ stage: "writing", config: large, lengths: [] }, 1e12).peakBytes).toBe(program + 32e6);
    const narrow = { layerSizes: large.layerSizes.map((sizes) => ({ ...sizes, intermediateSize: 10_240 })) };
    const fit = 8 * (5 * 10_240 ** 2 + 8 * 10_240 * 4096 + 512 * 10_240);
    expect(planMemory({ stage: "repairing", config: large, lengths, expert: narrow }, 1e13).peakBytes).toBe(
      program + 5 * states + 3 * weights + garbage + batch + fit,
    );
  });

  test("counts the head and its rows where they are more than a block", () => {
    const wide = { ...config, vocabSize: 262_144 };
    const D = config.hiddenSize;
    const long = Array.from({ length: 100 }, () => 100);
    const { peakBytes } = planMemory({ stage: "measuring", config: wide, lengths: long }, 1e12);
    const ends = 4 * (2 * 8192 * D + 2 * 1024 * 8192 + 8192 * D);
    expect(peakBytes).toBe(250e6 + 900 * 262_144 + 4 * 100 * 100 * D + ends);
  });

  test("spills first, then makes batches smaller, then refuses with the numbers", () => {
    // 16 documents of 128 tokens, four in a batch.
    const many = {
      ...large,
      hiddenSize: 1024,
      headDim: 16,
      vocabSize: 1000,
      layerSizes: Array.from({ length: 2 }, () => ({ intermediateSize: 1024, numAttentionHeads: 64, numKeyValueHeads: 8 })),
    };
    const request: MemoryRequest = { stage: "measuring", config: many, lengths: Array.from({ length: 16 }, () => 128) };
    const layer = 4 * (2 * 1024 * 1024 + 2 * 128 * 1024 + 3 * 1024 * 1024);
    const activations = 4 * 512 * (6 * 1024 + 2 * (64 + 16) * 16 + 2 * 64 * 128);
    const buffer = 4 * 512 * 1024;
    const peak = (states: number, of: number): number => 250e6 + 900 * 1000 + states + 3 * layer + of;
    expect(planMemory(request, 1e12)).toMatchObject({
      batchTokens: 512,
      spills: false,
      peakBytes: peak(4 * buffer, activations),
    });
    const spilled = peak(buffer, activations);
    expect(planMemory(request, spilled)).toMatchObject({ batchTokens: 512, spills: true, peakBytes: spilled });
    const half = planMemory(request, spilled - 1);
    expect(half).toMatchObject({ batchTokens: 256, spills: true, peakBytes: peak(buffer / 2, activations / 2) });
    // One document has more tokens than the smallest batches.
    const least = Math.ceil(peak(buffer / 4, activations / 4) / 2 ** 20);
    expect(() => planMemory(request, 2 ** 28)).toThrow(
      expect.objectContaining({
        code: "MEMORY_LIMIT",
        parts: {
          where: "memory for measuring",
          found: "a limit of 256 MiB",
          expected: `at least ${least} MiB, with one document of 128 tokens at a time and a scratch file`,
          remedy: "Allow more with --memory",
        },
      }) as Error,
    );
  });

  test("names documents that are too long, and repair", () => {
    const long = Array.from({ length: 4 }, () => 16_384);
    expect(() => planMemory({ stage: "measuring", config: large, lengths: long }, 3e9)).toThrow("--max-tokens");
    expect(() => planMemory({ stage: "repairing", config: large, lengths, expert: large }, 6e9)).toThrow(
      /--memory, or do without repair \(--no-repair\)/,
    );
  });

  test("takes no more of a container than it has", () => {
    vi.spyOn(process, "constrainedMemory").mockReturnValue(4e9);
    expect(defaultMemoryLimit()).toBe(3e9);
  });
});

describe("hidden states", () => {
  test.each([false, true])("come back as they were set, spilled: %s", (spills) =>
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
      // On Windows the name may stay until the end.
      if (process.platform !== "win32") expect(await readdir(scratchFolder())).toEqual([]);
      await states.close();
      await states.close();
      expect(await readdir(scratchFolder())).toEqual([]);
      expect(await openScratchFiles()).toEqual([]);
      vi.unstubAllEnvs();
    }),
  );

  test("say what is wrong with the disk", () =>
    withScratch(async () => {
      const states = await openHiddenStates([2], true);
      await states.set(0, Float32Array.of(1, 2));
      const probe = await open(import.meta.filename);
      const handles = Object.getPrototypeOf(probe) as { read: () => unknown; write: () => unknown };
      await probe.close();
      vi.spyOn(handles, "write").mockRejectedValueOnce(Object.assign(new Error("full"), { code: "ENOSPC" }));
      await expect(states.set(0, Float32Array.of(1, 2))).rejects.toMatchObject({ code: "DISK_FULL" });
      vi.spyOn(handles, "read").mockResolvedValueOnce({ bytesRead: 0 });
      await expect(states.get(0)).rejects.toMatchObject({ code: "SCRATCH_LOST" });
      await states.close();
    }));

  test("need a folder that can be written", async () => {
    vi.stubEnv("CUSPRUN_CACHE", "/dev/null/cache");
    await expect(openHiddenStates([1], true)).rejects.toMatchObject({ code: "OUTPUT_UNWRITABLE" });
    vi.unstubAllEnvs();
  });
});

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

  test("scores are those of the whole memory", () =>
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

  test("an abort and a limit too small leave nothing", () =>
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

  test("likelihoods are those of the whole memory", async () => {
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

  test("damage is that of the whole memory", async () => {
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

  test("a repair is that of the whole memory", () =>
    withFolder(async (folder) => {
      const plan = cutsOf([0, 1]);
      const plans = plansOf({ stage: "repairing", config, lengths: LENGTHS, expert: cutExpert(checkpoint, plan).config });
      const repair = (out: string, memoryLimit: number): Promise<void> =>
        repairExpert(checkpoint, cutExpert(checkpoint, plan), plan, documents, out, { memoryLimit });
      const [inMemory, spilled, smallest] = ["a", "b", "c"].map((name) => join(folder, name)) as [string, string, string];
      await repair(inMemory, plans.inMemory.peakBytes);
      await withScratch(() => repair(spilled, plans.spilled.peakBytes));
      await withScratch(() => repair(smallest, plans.smallest.peakBytes));
      await expectEqualFiles(inMemory, spilled, 0);
      await expectEqualFiles(inMemory, smallest, FIT_TOLERANCE);
    }));
});

/** Every tensor of two files. */
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
