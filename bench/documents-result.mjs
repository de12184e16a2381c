/**
 * @file The effect of the number of calibration documents on an expert: perplexity on held-out documents, the geometric
 * mean over dimensions, for experts that are selected and repaired on N documents of each corpus. To separate the two
 * effects, also for plans selected on N documents and repaired on the default number, and the other way round. Every
 * figure is saved, so that an interrupted run can continue.
 *
 *     npm run bench:documents-result -- [--counts 8,16,32,48,96,192,336] [--model smollm2] [--tokens 256]
 *         [--reduce '25% of blocks'] [--out FOLDER]
 *
 * The corpora are in ../shared/data, next to the repository; the smallest has 383 texts.
 */

import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { applyPlan, openCheckpoint, pruneModel, resolveModel } from "cusprun";
import { DEFAULT_DOCUMENTS, loadCorpora, openTokenizer } from "cusprun/internals";
import { EN_MEDICAL_MULTIPLE_CHOICE as CORPORA, heldOutPerplexities } from "./corpora.mjs";
import { kept } from "./kept.mjs";
import { geometricMean, table } from "./tables.mjs";

/** Held-out documents come first, so that they are the same for every number of calibration documents. */
const HELD_OUT = 24;

const { values } = parseArgs({
  options: {
    counts: { type: "string", default: "8,16,32,48,96,192,336" },
    model: { type: "string", default: "smollm2" },
    tokens: { type: "string", default: "256" },
    reduce: { type: "string", default: "25% of blocks" },
    out: { type: "string", default: "bench-results/documents-result" },
  },
});
mkdirSync(values.out, { recursive: true });
const counts = values.counts.split(",").map(Number);
const checkpoint = await openCheckpoint(await resolveModel(values.model));
const heldOutCorpora = await loadCorpora(CORPORA, await openTokenizer(checkpoint), corpusOptions(DEFAULT_DOCUMENTS));
await checkpoint.close();

for (const count of new Set([DEFAULT_DOCUMENTS, ...counts])) await perplexityOf(count, count);
for (const count of counts) {
  await perplexityOf(count, DEFAULT_DOCUMENTS);
  await perplexityOf(DEFAULT_DOCUMENTS, count);
}
const rows = [];
for (const count of counts) {
  const pairs = [
    [count, count],
    [count, DEFAULT_DOCUMENTS],
    [DEFAULT_DOCUMENTS, count],
  ];
  const figures = await Promise.all(pairs.map(([selecting, repairing]) => perplexityOf(selecting, repairing)));
  rows.push([count, ...figures.map((figure) => figure.toFixed(2))]);
}
const header = [
  "documents of each corpus",
  "for selection and repair",
  `for selection, ${DEFAULT_DOCUMENTS} for repair`,
  `for repair, ${DEFAULT_DOCUMENTS} for selection`,
];
console.log(table(header, rows));

function corpusOptions(documents) {
  return { documents, heldOutDocuments: HELD_OUT, maxTokens: Number(values.tokens) };
}

/** Perplexity of an expert, by the number of documents of each corpus for selection and for repair. */
async function perplexityOf(selecting, repairing) {
  return geometricMean(await kept(join(values.out, `${selecting}-${repairing}.json`), () => perplexities(selecting, repairing)));
}

async function perplexities(selecting, repairing) {
  const plan = join(values.out, `${selecting}.plan.json`);
  const out = join(values.out, "expert");
  const work = join(values.out, "work");
  const shared = { model: values.model, corpora: CORPORA, corpusOptions: corpusOptions(repairing), out, overwrite: true, work };
  if (selecting === repairing) {
    const selection = { budget: values.reduce, layout: "ragged", vocabulary: "keep" };
    await pruneModel({ ...shared, selection, measure: false });
    copyFileSync(join(out, "cusprun-plan.json"), plan);
  } else {
    await applyPlan({ ...shared, plan });
  }
  const figures = await heldOutPerplexities(out, heldOutCorpora);
  rmSync(out, { recursive: true });
  return figures;
}
