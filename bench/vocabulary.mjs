/**
 * @file The cost of a smaller vocabulary: bits per byte of held-out text, dense against an expert of which only tokens
 * are removed; and how much less is removed from the blocks when vocabulary and blocks share a budget. The figures of
 * each run are saved, so that an interrupted benchmark can continue. Prints tables and draws a plot.
 *
 *     npm run bench:vocabulary -- [--models smollm2,gemma3,qwen2] [--experts en,zh,de] [--coverages 0.998,0.996,0.99]
 *         [--no-budgets] [--out FOLDER]
 *
 * Text from outside the expert's corpora comes from evaluation files in ../shared/data, next to the repository.
 */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as Plot from "@observablehq/plot";
import { evaluateModel, pruneModel } from "cusprun";
import { kept } from "./kept.mjs";
import { writePlot } from "./plot.mjs";
import { table } from "./tables.mjs";

const EXPERTS = {
  en: {
    corpora: { language: ["en"], domain: ["medical"] },
    same: ["ppl_news_en"],
    other: ["ppl_news_fr", "ppl_news_ru"],
  },
  zh: { corpora: { language: ["zh"], domain: ["legal"] }, same: ["ppl_news_zh"], other: ["ppl_news_en", "ppl_news_ru"] },
  de: { corpora: { language: ["de"], domain: ["legal"] }, same: ["ppl_news_de"], other: ["ppl_news_en", "ppl_news_ru"] },
};
/** Items of each evaluation file, each a part of a paragraph. */
const ITEMS = 16;
const CORPUS_OPTIONS = { maxTokens: 256, heldOutDocuments: 16 };
/** For runs that also remove units of the blocks and repair the rest, which takes longer. */
const BUDGET_CORPUS_OPTIONS = { ...CORPUS_OPTIONS, documents: 24 };
/**
 * A budget that the vocabulary and the blocks share, for the first expert; with the kinds and the floor that the blocks
 * need to meet it alone.
 */
const BUDGETS = {
  smollm2: { budget: "25%", kinds: ["ffn"] },
  gemma3: { budget: "25%", kinds: ["ffn", "head"], floor: 0.2 },
  qwen2: { budget: "25%", kinds: ["ffn"] },
};
const DATA = join(import.meta.dirname, "../../shared/data/eval/dev");

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "smollm2,gemma3,qwen2" },
    experts: { type: "string", default: "en,zh,de" },
    coverages: { type: "string", default: "0.998,0.996,0.99" },
    "no-budgets": { type: "boolean", default: false },
    out: { type: "string", default: "bench-results/vocabulary" },
  },
});
const folder = values.out;
mkdirSync(folder, { recursive: true });
const [models, experts] = [values.models.split(","), values.experts.split(",")];

/** Figures of a run, saved under its name. */
const once = (key, work) => kept(join(folder, `${key.replaceAll(/[^\w.]+/g, "-")}.json`), work);

/** Bits per byte of a model on evaluation files, by name of the file. */
async function measure(model, names) {
  const { tasks } = await evaluateModel({ model, tasks: names.map((name) => join(DATA, `${name}.jsonl`)), limit: ITEMS });
  return Object.fromEntries(tasks.map(({ name, figures }) => [name, figures.bitsPerByte.value]));
}

async function prune(model, { corpora, same, other }, selection, corpusOptions = CORPUS_OPTIONS) {
  const out = join(folder, "expert");
  const startedAtMs = performance.now();
  const report = await pruneModel({ model, corpora, corpusOptions, selection, out, overwrite: true });
  const elapsedMs = performance.now() - startedAtMs;
  const { parameters, vocabulary, dimensions, bytes } = report;
  const heldOut = Object.fromEntries(
    dimensions.map(({ label, dense, expert }) => [label, [dense.bitsPerByte, expert.bitsPerByte]]),
  );
  const figures = await measure(out, [...same, ...other]);
  rmSync(out, { recursive: true });
  return { parameters, bytes, vocabulary, heldOut, figures, elapsedMs };
}

const percent = (share, digits = 1) => `${share >= 0 ? "+" : ""}${(100 * share).toFixed(digits)}%`;
const freed = ({ parameters: { before, after } }) => `${(100 * (1 - after / before)).toFixed(1)}%`;
const heldOutCell = ({ heldOut }) =>
  Object.entries(heldOut)
    .map(([label, [dense, expert]]) => `${label} ${percent(expert / dense - 1)}`)
    .join(", ");
const filesCell = (files, { figures }, dense) =>
  files.map((file) => `${file.split("_").slice(1).join(" ")} ${percent(figures[file] / dense[file] - 1)}`).join(", ");
const placeOf = (expert) => Object.values(expert.corpora).flat().join(" · ");

const sizes = [];
const budgets = [];
const points = [];
for (const model of models) {
  for (const name of experts) {
    const expert = EXPERTS[name];
    const files = [...expert.same, ...expert.other];
    const dense = await once(`${model} ${name} dense`, () => measure(model, files));
    const row = (label, run) => [
      model,
      placeOf(expert),
      label,
      run.vocabulary?.after ?? "all",
      freed(run),
      heldOutCell(run),
      filesCell(expert.same, run, dense),
      filesCell(expert.other, run, dense),
    ];
    for (const coverage of values.coverages
      .split(",")
      .filter((each) => each !== "")
      .map(Number)) {
      // Only tokens are removed: they alone free more than this budget.
      const selection = { budget: "0.01%", layout: "uniform", kinds: ["ffn"], vocabulary: { coverage } };
      const run = await once(`${model} ${name} ${coverage}`, () => prune(model, expert, selection));
      sizes.push(row(`${(100 * coverage).toFixed(1)}%`, run));
      const share = 1 - run.parameters.after / run.parameters.before;
      const held = Object.values(run.heldOut);
      const change = held.reduce((sum, [before, after]) => sum + after / before - 1, 0) / held.length;
      points.push({ model, expert: `${model} · ${name}`, share: 100 * share, change: 100 * change });
    }
    if (name === experts[0] && !values["no-budgets"]) {
      const { budget, ...units } = BUDGETS[model];
      for (const vocabulary of [undefined, "keep"]) {
        const selection = { budget, layout: "uniform", ...units, ...(vocabulary ? { vocabulary } : {}) };
        const run = await once(`${model} ${name} ${budget} ${vocabulary ?? "shared"}`, () =>
          prune(model, expert, selection, BUDGET_CORPUS_OPTIONS),
        );
        budgets.push(row(vocabulary === "keep" ? "blocks alone" : "shared", run));
      }
    }
  }
}
const last = ["tokens kept", "parameters freed", "own held-out text", "same language", "other languages"];
const text = [
  table(["model", "expert", "coverage", ...last], sizes),
  table(["model", "expert", "budget", ...last], budgets),
].join("\n\n");
writeFileSync(join(folder, "tables.md"), `${text}\n`);
await writePlot(join(folder, "vocabulary.svg"), {
  width: 720,
  marginLeft: 50,
  marginRight: 110,
  grid: true,
  x: { label: "parameters freed, % →", domain: [0, 60] },
  y: { label: "↑ increase of bits per byte on the expert's own held-out text, %", zero: true },
  color: { domain: models },
  marks: [
    Plot.ruleY([0]),
    Plot.lineY(points, { x: "share", y: "change", stroke: "model", z: "expert" }),
    Plot.dot(points, { x: "share", y: "change", stroke: "model", fill: "white" }),
    Plot.text(points, Plot.selectLast({ x: "share", y: "change", text: "expert", z: "expert", textAnchor: "start", dx: 8 })),
  ],
});
console.log(text);
