/** @file Stages that are stopped anywhere and continued: the same bytes, no step twice but the one that was stopped. */

import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors/read.ts";
import { loadCorpora } from "../../src/corpora/load.ts";
import { KeptStates } from "../../src/model/kept-states.ts";
import { GraphSession } from "../../src/model/sessions.ts";
import { measureDense, measureExpert } from "../../src/pipeline/measure-step.ts";
import { openTokenizer } from "../../src/pipeline/model.ts";
import { withPartialResults } from "../../src/pipeline/partial-results.ts";
import { withRepairedExpert } from "../../src/pipeline/repair-step.ts";
import { ensureScores } from "../../src/pipeline/scoring-step.ts";
import { ensureTrials } from "../../src/pipeline/trial-step.ts";
import { gatherVocabulary } from "../../src/pipeline/vocabulary-step.ts";
import type { JobOptions, ProgressEvent } from "../../src/progress.ts";
import { ownMark } from "../../src/process-mark.ts";
import { scoreCorpora } from "../../src/scoring/score.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { readRepairReport } from "../../src/surgery/repair.ts";
import { holdBack } from "../../src/surgery/repair-documents.ts";
import { USUAL_STRENGTH } from "../../src/surgery/repair-fit.ts";
import { ELSEWHERE_MARK, ENDED_MARK } from "../support/ended-process.ts";
import { hurryClock } from "../support/hurried-clock.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import { planOf } from "../support/plans.ts";
import { preparePrune } from "../support/prune-runs.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyCheckpoint, tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

const LAYERS = 3;

/** A stage on a work folder. */
type Stage = (work: string, job: JobOptions) => Promise<unknown>;

/** The names below a folder of what stopped runs have left. */
async function partialsIn(work: string): Promise<string[]> {
  return (await readdir(work)).filter((name) => name.startsWith("partial-"));
}

/** All files of a work folder. */
async function filesIn(work: string): Promise<Record<string, string>> {
  const names = await readdir(work, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map(({ name, parentPath }) => join(parentPath, name));
  const contents = files.map(async (path) => [path.slice(work.length), (await readFile(path)).toString("base64")] as const);
  return Object.fromEntries<string>(await Promise.all(contents));
}

/**
 * Runs a stage.
 * @param onProgress also receives how often a graph was run so far.
 * @returns how often a graph was run, until the stage was stopped at the start of run `stopAt`.
 */
async function runsOf(
  stage: Stage,
  work: string,
  stopAt = Number.POSITIVE_INFINITY,
  onProgress: (event: ProgressEvent, runs: number) => void = () => undefined,
): Promise<number> {
  const stop = new AbortController();
  const run = GraphSession.prototype.run;
  let count = 0;
  const spy = vi.spyOn(GraphSession.prototype, "run").mockImplementation(function (this: GraphSession, ...args) {
    count += 1;
    if (count === stopAt) stop.abort(new Error("stopped"));
    return run.apply(this, args);
  });
  try {
    await stage(work, { signal: stop.signal, onProgress: (event) => onProgress(event, count) });
  } catch (error) {
    expect(error).toMatchObject({ message: "stopped" });
  } finally {
    spy.mockRestore();
  }
  return count;
}

/** Every stage that saves what it has done, on the files in a folder. The caller closes the checkpoint. */
async function stagesIn(folder: string): Promise<{ stages: Record<string, Stage>; checkpoint: Checkpoint }> {
  const { model, corpora: specs, corpusOptions } = await preparePrune(folder);
  await writeTinyCheckpoint(model, tinyModel("llama", { numHiddenLayers: LAYERS }), "F32");
  const checkpoint = await openCheckpoint(model);
  const tokenizer = await openTokenizer(checkpoint);
  const corpora = await loadCorpora(specs, tokenizer, { ...corpusOptions, documents: 16, heldOutDocuments: 8 });
  const vocabulary = await gatherVocabulary(checkpoint, specs, corpora, tokenizer, {}, [], {});
  const request = { kinds: ["ffn", "kv-group"], mapChange: "first-order", vocabulary } as const;
  const relevances = madeUpScores(checkpoint.config, { dimensions: ["language", "domain"], kinds: ["ffn", "kv-group"] });
  const selection = { dimensions: ["language", "domain"], budget: "20% of blocks", layout: "ragged", snap: 1 } as const;
  const trials = { ...selection, allocation: "damage", kinds: ["ffn", "kv-group"] } as const;
  const plan = planOf(
    "ragged",
    [2, 8, 5].map((count) => ({ ffn: Array.from({ length: count }, (_, unit) => 2 * unit) })),
  );
  const cut = cutExpert(checkpoint, plan);
  const documents = holdBack(corpora.flatMap(({ calibration }) => calibration));
  const kept = new KeptStates();
  await scoreCorpora(checkpoint, corpora, join(folder, "scores"), { keep: kept });
  vi.spyOn(kept, "close").mockResolvedValue();
  const stages: Record<string, Stage> = {
    scoring: async (work, job) => (await ensureScores(checkpoint, corpora, request, work, job)).scores.close(),
    trials: (work, job) => ensureTrials(checkpoint, corpora, relevances, trials, false, work, job),
    "repaired trials": (work, job) => ensureTrials(checkpoint, corpora, relevances, trials, true, work, job),
    "measuring the dense model": (work, job) => measureDense(checkpoint, corpora, work, job),
    "measuring an expert": (work, job) => measureExpert(model, corpora, null, work, job),
    repair: (work, job) => withRepairedExpert(checkpoint, cut, plan, documents, work, job, () => Promise.resolve()),
    "repair of few documents": (work, job) =>
      withRepairedExpert(checkpoint, cut, plan, holdBack(documents.documents.slice(0, 4)), work, job, () => Promise.resolve()),
    "repair with kept states": (work, job) =>
      withRepairedExpert(checkpoint, cut, plan, documents, work, { ...job, kept }, () => Promise.resolve()),
  };
  return { stages, checkpoint };
}

/** Uses a stage, with a maker of empty work folders. */
async function withStage(name: string, use: (stage: Stage, newWork: () => Promise<string>) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const { stages, checkpoint } = await stagesIn(folder);
    let works = 0;
    const newWork = async (): Promise<string> => {
      const work = join(folder, `work-${++works}`);
      await mkdir(work);
      return work;
    };
    try {
      await use(stages[name]!, newWork);
    } finally {
      await checkpoint.close();
    }
  });
}

beforeEach(hurryClock);
afterEach(() => vi.restoreAllMocks());

describe.each([
  // Runs of graphs in the longest step, of 9 runs in all: a layer and the Gram matrix of its o.
  ["scoring", 2, 1],
  // Of 18: the model, two trials of the last layer, and those of the layers before it.
  ["trials", 7, 1],
  // Of 57: with the products of the fits of two trials.
  ["repaired trials", 20, 7],
  // Of 4.
  ["measuring the dense model", 1, 1],
  ["measuring an expert", 1, 1],
  // Of 205: two models, and the products of four fits.
  ["repair", 98, 31],
  ["repair with kept states", 98, 31],
])("%s", (name, longestStep, stride) => {
  test(`stopped in any step, and continued: the same bytes, and only that step is done again`, { timeout: 120_000 }, () =>
    withStage(name, async (stage, newWork) => {
      const whole = await newWork();
      const all = await runsOf(stage, whole);
      const expected = await filesIn(whole);
      expect(await partialsIn(whole)).toEqual([]);
      let saved = 0;
      let tried = 0;
      for (let stopAt = 1; stopAt < all; stopAt += stride) {
        const work = await newWork();
        const before = await runsOf(stage, work, stopAt);
        tried += 1;
        if ((await partialsIn(work)).length > 0) saved += 1;
        const after = await runsOf(stage, work);
        expect(before + after - all).toBeLessThanOrEqual(longestStep);
        expect(await filesIn(work)).toEqual(expected);
      }
      expect(saved).toBeGreaterThan(tried / 2);
    }),
  );
});

test("a repair goes on with the strengths that its layers chose", () =>
  withStage("repair of few documents", async (stage, newWork) => {
    let [twoLayers, work] = [0, await newWork()];
    const all = await runsOf(stage, work, undefined, ({ stage: name, done }, runs) => {
      if (name === "repairing" && done === LAYERS - 1) twoLayers = runs;
    });
    const repair = (await readdir(work)).find((name) => name.endsWith(".safetensors"));
    const file = await SafetensorsFile.open(join(work, repair!));
    const strengths = (await readRepairReport(file)).filter(({ layer }) => layer === 1).map(({ strength }) => strength);
    await file.close();
    // Otherwise a search begins at the usual strength in any case.
    expect(strengths.some((strength) => strength !== null && strength !== USUAL_STRENGTH)).toBe(true);
    work = await newWork();
    await runsOf(stage, work, twoLayers + 1);
    expect(await runsOf(stage, work)).toBe(all - twoLayers);
  }));

test("work that is done quickly is not saved", () =>
  withStage("scoring", async (stage, newWork) => {
    vi.restoreAllMocks();
    const work = await newWork();
    await runsOf(stage, work, 5);
    expect(await partialsIn(work)).toEqual([]);
  }));

describe("what a stopped run has saved", () => {
  /** Scoring, stopped in its last layer; the whole and the last of its runs of graphs; and the folder that it left. */
  const withStopped = (
    use: (stage: Stage, work: string, partial: string, all: number, last: number) => Promise<void>,
  ): Promise<void> =>
    withStage("scoring", async (stage, newWork) => {
      const all = await runsOf(stage, await newWork());
      const work = await newWork();
      const before = await runsOf(stage, work, 8);
      const [partial] = await partialsIn(work);
      await use(stage, work, partial!, all, all - before + 4);
    });

  test("has one set of hidden states, an index, and the results of the layers that are done", () =>
    withStopped(async (_stage, work, partial) => {
      expect((await readdir(join(work, partial))).toSorted()).toEqual(["1.results", "2.results", "2.states", "index.json"]);
    }));

  test("is where progress begins", () =>
    withStopped(async (stage, work) => {
      const shares: number[] = [];
      await stage(work, { onProgress: ({ stage: name, done, total }) => name === "scoring" && shares.push(done / total!) });
      expect(shares[0]).toBeGreaterThan(2 / LAYERS);
      expect(shares.at(-1)).toBe(1);
    }));

  test.each(["index.json", "1.results", "2.results", "2.states"])("is not used if %s is damaged", (name) =>
    withStopped(async (stage, work, partial, all) => {
      const path = join(work, partial, name);
      const bytes = await readFile(path);
      bytes[bytes.length >> 1]! ^= 1;
      await writeFile(path, bytes);
      expect(await runsOf(stage, work)).toBe(all);
      expect(await partialsIn(work)).toEqual([]);
    }),
  );

  test("is not used if a file is missing, and its other files are removed", () =>
    withStopped(async (stage, work, partial, all) => {
      await rename(join(work, partial, "2.states"), join(work, "elsewhere"));
      expect(await runsOf(stage, work)).toBe(all);
      expect(await partialsIn(work)).toEqual([]);
    }));

  test.each([
    ["an ended process", ENDED_MARK],
    ["a process on another machine, or before a restart", ELSEWHERE_MARK],
  ])("is used if it is that of %s", (_, mark) =>
    withStopped(async (stage, work, partial, _all, last) => {
      await rename(join(work, partial), join(work, partial.replace(ownMark(), mark)));
      expect(await runsOf(stage, work)).toBeLessThanOrEqual(last);
      expect(await partialsIn(work)).toEqual([]);
    }),
  );

  test("is neither used nor removed while its process runs", () =>
    withStopped(async (stage, work, partial, all) => {
      const living = partial.replace(ownMark(), ownMark().replace(/-\d+-\d+$/, `-${process.ppid}-0`));
      await rename(join(work, partial), join(work, living));
      expect(await runsOf(stage, work)).toBe(all);
      expect(await partialsIn(work)).toEqual([living]);
    }));

  test("is removed when the same stage begins with another request, but not by other stages", () =>
    withFolder(async (folder) => {
      const checkpoint = tinyCheckpoint(tinyModel("llama"), "F32");
      const stopped = withPartialResults(folder, "scoring", 1, checkpoint, async (journal) => {
        await journal.resume([]);
        await journal.step(
          0,
          () => Promise.resolve({ values: Float32Array.of(1) }),
          () => [],
        );
        throw new Error("stopped");
      });
      await expect(stopped).rejects.toThrow("stopped");
      await withPartialResults(folder, "trials", 2, checkpoint, () => Promise.resolve());
      expect(await partialsIn(folder)).toHaveLength(1);
      await withPartialResults(folder, "scoring", 2, checkpoint, () => Promise.resolve());
      expect(await partialsIn(folder)).toEqual([]);
    }));

  test("is used by one of two runs at the same time, and both are right", () =>
    withStopped(async (stage, work, _partial, all, last) => {
      expect(await runsOf(() => Promise.all([stage(work, {}), stage(work, {})]), work)).toBeLessThanOrEqual(all + last);
      expect(await partialsIn(work)).toEqual([]);
    }));
});
