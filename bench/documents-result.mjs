/**
 * @file What the number of documents does to an expert: perplexity on held-out documents, the geometric mean over dimensions, of experts that so many documents of each corpus choose and
 * mend. To tell the two apart, also of the plans that they choose, mended on as many as the default, and of the default's plan, mended on so many. Every figure is kept, so that an
 * interrupted run goes on where it stopped.
 *
 *     npm run bench:documents-result -- [--counts 8,16,32,48,96,192,336] [--model smollm2] [--tokens 256] [--reduce '25% of blocks'] [--out FOLDER]
 *
 * The corpora lie beside the project (../shared/data); the smallest has 383 texts.
 */

import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { applyPlan, fetchCatalogModel, loadCorpora, openCheckpoint, pruneModel } from "../dist/index.js";
import { DEFAULT_DOCUMENTS } from "../dist/corpora/load.js";
import { openTokenizer } from "../dist/pipeline/model.js";
import { EN_MEDICAL_MULTIPLE_CHOICE as CORPORA, heldOutPerplexities } from "./corpora.mjs";
import { kept } from "./kept.mjs";
import { geometricMean, table } from "./tables.mjs";

/** They come first, so that however many documents choose, the same ones judge. */
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
const checkpoint = await openCheckpoint(await fetchCatalogModel(values.model));
const judges = await loadCorpora(CORPORA, await openTokenizer(checkpoint), corpusOptions(DEFAULT_DOCUMENTS));
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
  const figures = await Promise.all(pairs.map(([choosing, mending]) => perplexityOf(choosing, mending)));
  rows.push([count, ...figures.map((figure) => figure.toFixed(2))]);
}
const header = [
  "documents of each corpus",
  "choose and mend",
  `choose, ${DEFAULT_DOCUMENTS} mend`,
  `mend, ${DEFAULT_DOCUMENTS} choose`,
];
console.log(table(header, rows));

function corpusOptions(documents) {
  return { documents, heldOutDocuments: HELD_OUT, maxTokens: Number(values.tokens) };
}

/** Perplexity of an expert whose units some documents choose and others, or the same, mend. */
async function perplexityOf(choosing, mending) {
  return geometricMean(await kept(join(values.out, `${choosing}-${mending}.json`), () => perplexities(choosing, mending)));
}

async function perplexities(choosing, mending) {
  const plan = join(values.out, `${choosing}.plan.json`);
  const out = join(values.out, "expert");
  const work = join(values.out, "work");
  const shared = { model: values.model, corpora: CORPORA, corpusOptions: corpusOptions(mending), out, overwrite: true, work };
  if (choosing === mending) {
    const selection = { budget: values.reduce, layout: "ragged", vocabulary: "keep" };
    await pruneModel({ ...shared, selection, measure: false });
    copyFileSync(join(out, "cusprun-plan.json"), plan);
  } else {
    await applyPlan({ ...shared, plan });
  }
  const figures = await heldOutPerplexities(out, judges);
  rmSync(out, { recursive: true });
  return figures;
}
