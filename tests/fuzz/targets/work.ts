/**
 * @file What runs keep for later ones: scores' indices, perplexities and trials in a work folder, and results.json of a
 * comparison.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CusprunError } from "../../../src/errors.ts";
import type { Corpus } from "../../../src/corpora/corpus.ts";
import { readComparison } from "../../../src/pipeline/comparison-file.ts";
import { ensureTrials } from "../../../src/pipeline/trial-step.ts";
import { findPerplexity, findScores, recordPerplexity, recordScores, scoresPath } from "../../../src/pipeline/work-folder.ts";
import { plotComparison } from "../../../src/report/comparison-plots.ts";
import { comparisonMarkdown, renderComparison } from "../../../src/report/comparison-table.ts";
import { formatPlan, parsePlan } from "../../../src/selection/plan-file.ts";
import { selectUnits } from "../../../src/selection/select.ts";
import type { SelectionOptions } from "../../../src/selection/selection-options.ts";
import { madeUpScores } from "../../support/made-up-scores.ts";
import { tinyCheckpoint } from "../../support/tiny-models.ts";
import { mustHold } from "../broken.ts";
import { mutateJson } from "../mutate/json.ts";
import { ROOT } from "../paths.ts";
import type { Random } from "../random.ts";
import { withScratch } from "../scratch.ts";
import { resealed } from "../sealed.ts";
import type { Base, Target } from "../target.ts";
import { mutateJsonFile, smallModel } from "./small-models.ts";

const CORPUS: Corpus = {
  dimension: "language",
  label: "en",
  calibration: [1, 2, 3].map((n) => ({
    tokens: Int32Array.from({ length: 40 }, (_, i) => (n * i) % 200),
    byteLength: 80,
    source: `c:${n}`,
  })),
  heldOut: [{ tokens: Int32Array.from({ length: 40 }, (_, i) => i), byteLength: 80, source: "h:1" }],
};
const REQUEST = { kinds: ["ffn", "head"], mapChange: "first-order", vocabulary: null } as const;
const SELECTION: SelectionOptions = {
  dimensions: ["language"],
  budget: "20% of blocks",
  layout: "ragged",
  allocation: "damage",
  kinds: ["ffn"],
  snap: 1,
};

/** Trials are measured again where those of the file cannot be used: work that the fuzzer does not do. */
const NOT_AGAIN = new CusprunError("USAGE", {
  where: "trials",
  found: "trials to be measured",
  expected: "trials of an earlier run",
  remedy: "Measure them again",
});

async function selectByTrials(folder: string, signal?: AbortSignal): Promise<void> {
  const model = smallModel("llama");
  const made = madeUpScores(model.config, { dimensions: ["language"], kinds: ["ffn"] });
  const job = signal === undefined ? {} : { signal };
  const trials = await ensureTrials(tinyCheckpoint(model), [CORPUS], made, SELECTION, false, folder, job);
  const plan = await selectUnits(made, { ...SELECTION, trials });
  const written = formatPlan(plan);
  mustHold(formatPlan(parsePlan(JSON.parse(written), "plan")) === written, "a plan by trials can be read again");
}

/** A work folder. */
export const work: Target = {
  name: "work",
  bases: () =>
    withScratch(async (folder) => {
      const path = scoresPath(folder, [CORPUS], REQUEST);
      writeFileSync(path, "");
      await recordScores(path, [CORPUS], REQUEST);
      await recordPerplexity(folder, { kind: "dense" }, [CORPUS], {
        language: { perplexity: 20.5, bitsPerByte: 1.25, tokenCount: 39, negativeLogLikelihood: 117, byteCount: 80 },
      });
      await selectByTrials(folder);
      const files = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
      return [{ name: "work", files, changed: [...files.keys()].filter((name) => name.endsWith(".json")) }];
    }),
  mutate: (_, contents, random) => mutateRecord(contents, random),
  run: async (folder) => {
    const found = await findScores(folder, [CORPUS], REQUEST);
    mustHold(
      found.every((path) => existsSync(path)),
      "scores that are found are there",
    );
    const perplexity = await findPerplexity(folder, { kind: "dense" }, CORPUS);
    if (perplexity !== null) {
      for (const value of [perplexity.perplexity, perplexity.bitsPerByte, perplexity.tokenCount]) {
        mustHold(typeof value === "number", "a perplexity that is found is a number");
      }
    }
    await selectByTrials(folder, AbortSignal.abort(NOT_AGAIN));
  },
};

/** Mostly what a record holds, since one whose seal is broken is not looked at. */
function mutateRecord(contents: Buffer, random: Random): Buffer {
  if (random.chance(0.2)) return mutateJsonFile(contents, random);
  try {
    return resealed(contents, (content) => JSON.parse(mutateJson(JSON.stringify(content), random)) as unknown);
  } catch {
    // No JSON any more, or nested so deep that it cannot be sealed.
    return mutateJsonFile(contents, random);
  }
}

/** Every plot is drawn for one input in this many: drawing takes longer than everything else. */
const PLOTTED_EVERY = 20;

/** The results of a comparison. */
export const comparison: Target = {
  name: "comparison",
  weight: 0.2,
  bases: async () =>
    readdirSync(join(ROOT, "docs/results"))
      .filter((name) => existsSync(join(ROOT, "docs/results", name, "results.json")))
      .slice(0, 3)
      .map((name): Base => {
        const results = JSON.parse(readFileSync(join(ROOT, "docs/results", name, "results.json"), "utf8")) as { runs: unknown[] };
        // Two runs have every field.
        const contents = Buffer.from(JSON.stringify({ ...results, runs: results.runs.slice(0, 2) }, null, 1));
        return { name, files: new Map([["results.json", contents]]), changed: ["results.json"] };
      }),
  mutate: (_, contents, random) => mutateJsonFile(contents, random),
  run: async (folder, random) => {
    const read = await readComparison(folder, false);
    if (read === null) return;
    renderComparison(read);
    comparisonMarkdown(read);
    if (random.chance(1 / PLOTTED_EVERY)) await plotComparison(read);
  },
};
