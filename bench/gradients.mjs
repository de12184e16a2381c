/**
 * @file The gain from a backward pass: experts whose units, whose allocation over the layers, or both come from Fisher
 * scores in PyTorch (gradients.py), against ours, which selects units by relevance and allocates by trial cuts, forward
 * passes only. Documents, budget, repair and evaluation are the same for all: perplexity on held-out documents, the
 * geometric mean over dimensions.
 *
 *     CUSPRUN_PYTHON=python npm run bench:gradients -- [--model smollm2] [--documents 48] [--tokens 256]
 *         [--reduce '25% of blocks'] [--out FOLDER]
 *
 * The corpora are in ../shared/data, next to the repository. An interrupted run can continue: its results are reused.
 */

import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { applyPlan, exportModel, openCheckpoint, openScores, resolveModel, selectUnits, writePlan } from "cusprun";
import { ensureTrials, loadCorpora, openTokenizer, scoreCorpora } from "cusprun/internals";
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
if (python === undefined) throw new Error("set CUSPRUN_PYTHON to a Python with torch and transformers");
const folder = values.out;
mkdirSync(folder, { recursive: true });
const corpusOptions = { documents: Number(values.documents), heldOutDocuments: 24, maxTokens: Number(values.tokens) };
const model = await resolveModel(values.model);
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
/** The trial cuts with the damage that Fisher scores predict, instead of the measured divergence. */
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
  `trial cuts ${trialSeconds.toFixed(0)} s (about 0 if reused from an earlier run), ` +
    `Fisher scores ${seconds.toFixed(0)} s without loading the model`,
);

/** The answer of gradients.py. */
async function ask() {
  const exported = join(folder, "model");
  rmSync(exported, { recursive: true, force: true });
  await exportModel({ model, to: "safetensors", type: "F32", out: exported });
  const documents = corpora.map(({ calibration }) => calibration.map(({ tokens }) => [...tokens]));
  const answer = askProgram(python, "gradients.py", { request: { folder: exported, corpora: documents } });
  rmSync(exported, { recursive: true });
  return answer;
}

/**
 * Fisher scores of FFN units as relevances for selection: one document per dimension; square roots, as selection
 * squares.
 */
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

/** Perplexities of a plan's expert after repair. @param path of the plan file to write. */
async function perplexities(plan, path) {
  const out = join(folder, "expert");
  await writePlan(path, plan);
  await applyPlan({ model, plan: path, corpora: CORPORA, corpusOptions, out, overwrite: true, work: folder });
  const figures = await heldOutPerplexities(out, corpora);
  rmSync(out, { recursive: true });
  return figures;
}
