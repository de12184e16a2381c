/**
 * @file What a backward pass would bring: experts whose units, whose shares of the layers, or both are chosen by Fisher scores from PyTorch (gradients.py), beside ours, which chooses units by
 * relevance and shares by trial cuts, forward only. The same documents, budget, repair and judges for all: perplexity on held-out documents, the geometric mean over dimensions.
 *
 *     CUSPRUN_PYTHON=python npm run bench:gradients -- [--model smollm2] [--documents 48] [--tokens 256] [--reduce '25% of blocks'] [--out FOLDER]
 *
 * The corpora lie beside the project (../shared/data). What an interrupted run has made is not made again.
 */

import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  applyPlan,
  exportModel,
  fetchCatalogModel,
  loadCorpora,
  openCheckpoint,
  openScores,
  scoreCorpora,
  selectUnits,
  writePlan,
} from "../dist/index.js";
import { openTokenizer } from "../dist/pipeline/model.js";
import { ensureTrials } from "../dist/pipeline/trial-step.js";
import { EN_MEDICAL_MULTIPLE_CHOICE as CORPORA, heldOutPerplexities } from "./corpora.mjs";
import { kept } from "./kept.mjs";
import { askProgram } from "./process.mjs";
import { geometricMean, table } from "./tables.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2" },
    documents: { type: "string", default: "48" },
    tokens: { type: "string", default: "256" },
    reduce: { type: "string", default: "25% of blocks" },
    out: { type: "string", default: "bench-results/gradients" },
  },
});
const python = process.env.CUSPRUN_PYTHON;
if (python === undefined) throw new Error("CUSPRUN_PYTHON names a Python with torch and transformers");
const folder = values.out;
mkdirSync(folder, { recursive: true });
const corpusOptions = { documents: Number(values.documents), heldOutDocuments: 24, maxTokens: Number(values.tokens) };
const model = await fetchCatalogModel(values.model);
const checkpoint = await openCheckpoint(model);
const corpora = await loadCorpora(CORPORA, await openTokenizer(checkpoint), corpusOptions);
const dimensions = corpora.map(({ dimension }) => dimension);
const selection = { dimensions, budget: values.reduce, layout: "ragged", vocabulary: "keep" };

const scoresPath = join(folder, "scores.safetensors");
if (!existsSync(scoresPath)) await scoreCorpora(checkpoint, corpora, scoresPath);
const relevances = await openScores(scoresPath);
const startedAtMs = performance.now();
const trials = await ensureTrials(checkpoint, corpora, relevances, selection, true, folder, {});
const trialSeconds = (performance.now() - startedAtMs) / 1000;
const { scores, seconds } = await kept(join(folder, "fisher.json"), ask);
const fisher = asRelevances(scores);
/** What Fisher scores say of the trials' cuts, in place of the divergence that was read. */
const expected = trials.map((trial) => ({
  ...trial,
  damage: Object.fromEntries(
    dimensions.map((dimension, d) => [dimension, trial.removed.reduce((sum, unit) => sum + scores[d][trial.layer][unit], 0)]),
  ),
}));

const plans = {
  "relevance, trial cuts (ours)": () => selectUnits(relevances, { ...selection, trials }),
  "relevance, Fisher": () => selectUnits(relevances, { ...selection, trials: expected }),
  "Fisher, trial cuts": () => selectUnits(fisher, { ...selection, trials }),
  "Fisher, Fisher": () => selectUnits(fisher, { ...selection, allocation: "global" }),
};
const rows = [];
for (const [name, choose] of Object.entries(plans)) {
  const stem = join(folder, name.replaceAll(/\W+/g, "-"));
  const figures = await kept(`${stem}.json`, async () => perplexities(await choose(), `${stem}.plan.json`));
  rows.push([name, ...figures.map((figure) => figure.toFixed(1)), geometricMean(figures).toFixed(2)]);
}
await relevances.close();
await checkpoint.close();
console.log(table(["units, layers", ...corpora.map(({ label }) => label), "mean"], rows));
console.log(
  `trial cuts ${trialSeconds.toFixed(0)} s (an earlier run's take none), Fisher scores ${seconds.toFixed(0)} s without loading the model`,
);

/** What gradients.py answers. */
async function ask() {
  const exported = join(folder, "model");
  rmSync(exported, { recursive: true, force: true });
  await exportModel({ model, to: "safetensors", type: "F32", out: exported });
  const documents = corpora.map(({ calibration }) => calibration.map(({ tokens }) => [...tokens]));
  const answer = askProgram(python, "gradients.py", { request: { folder: exported, corpora: documents } });
  rmSync(exported, { recursive: true });
  return answer;
}

/** Scores of FFN units as selection reads relevances: one document of each dimension, the roots, since it squares them. */
function asRelevances(scores) {
  return {
    config: checkpoint.config,
    fingerprint: "fisher",
    documents: dimensions.map((dimension) => ({ source: dimension, tokenCount: 1, dimensions: [dimension] })),
    corpora: relevances.corpora,
    kinds: ["ffn"],
    read: async (layer) => Float32Array.from(scores.flatMap((layers) => layers[layer].map(Math.sqrt))),
    readReference: async () => new Float32Array(dimensions.length).fill(1),
    readVocabulary: async () => null,
    close: async () => {},
  };
}

/** Perplexities of a plan's expert, repaired. @param path where the plan is kept. */
async function perplexities(plan, path) {
  const out = join(folder, "expert");
  await writePlan(path, plan);
  await applyPlan({ model, plan: path, corpora: CORPORA, corpusOptions, out, overwrite: true, work: folder });
  const figures = await heldOutPerplexities(out, corpora);
  rmSync(out, { recursive: true });
  return figures;
}
