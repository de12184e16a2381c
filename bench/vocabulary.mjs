/**
 * @file What a smaller vocabulary costs: bits per byte of held-back text, dense against trimmed, no other unit cut. One line per run is kept in a file, so that
 * an interrupted measurement goes on where it stopped; then a table and a curve.
 *
 *     npm run bench:vocabulary -- [--models smollm2,gemma3,qwen2] [--experts en,zh,de] [--coverages 0.999,0.995,0.98] [--out FOLDER]
 *
 * Text that is not the expert's own comes from evaluation files beside the project (../shared/data); without them only the expert's own is measured.
 */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { evaluateModel, pruneModel } from "../dist/index.js";

const EXPERTS = {
  en: {
    corpora: { language: ["en"], domain: ["medical"] },
    own: ["ppl_news_en", "ppl_wikitext2_en"],
    other: ["ppl_news_fr", "ppl_news_ru"],
  },
  zh: { corpora: { language: ["zh"], domain: ["legal"] }, own: ["ppl_news_zh"], other: ["ppl_news_en", "ppl_news_ru"] },
  de: { corpora: { language: ["de"], domain: ["legal"] }, own: ["ppl_news_de"], other: ["ppl_news_en", "ppl_news_ru"] },
};
/** Items of each file: news comes in pieces of a paragraph, wikitext in whole pages. */
const LIMITS = { ppl_wikitext2_en: 2 };
const DEFAULT_LIMIT = 24;
const DATA = join(import.meta.dirname, "../../shared/data/eval/dev");

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "smollm2,gemma3,qwen2" },
    experts: { type: "string", default: "en,zh,de" },
    coverages: { type: "string", default: "0.999,0.995,0.98" },
    out: { type: "string", default: "bench-results/vocabulary" },
  },
});
const folder = values.out;
mkdirSync(folder, { recursive: true });
const path = join(folder, "results.json");
const results = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};

async function once(key, work) {
  if (results[key] === undefined) {
    console.error(key);
    results[key] = await work();
    writeFileSync(path, JSON.stringify(results, null, 1));
  }
  return results[key];
}

/** Bits per byte of a model on evaluation files, by name. */
async function measure(model, names) {
  const figures = {};
  for (const name of names) {
    const file = join(DATA, `${name}.jsonl`);
    if (!existsSync(file)) continue;
    const { tasks } = await evaluateModel({ model, tasks: [file], limit: LIMITS[name] ?? DEFAULT_LIMIT });
    figures[name] = tasks[0].figures.bitsPerByte.value;
  }
  return figures;
}

async function trim(model, { corpora, own, other }, coverage) {
  const out = join(folder, "expert");
  const report = await pruneModel({
    model,
    corpora,
    corpusOptions: { documents: 32, heldOutDocuments: 24, maxTokens: 256 },
    // Nothing but tokens: they alone free more than this.
    selection: { budget: "0.01%", layout: "uniform", vocabulary: { coverage } },
    out,
    overwrite: true,
  });
  const { parameters, vocabulary, dimensions } = report;
  const held = Object.fromEntries(
    dimensions.map(({ dimension, label, dense, expert }) => [`${dimension} ${label}`, [dense.bitsPerByte, expert.bitsPerByte]]),
  );
  const others = await measure(out, [...own, ...other]);
  rmSync(out, { recursive: true });
  return { before: parameters.before, after: parameters.after, vocabulary, held, others };
}

const percent = (after, before) => `${after >= before ? "+" : ""}${(100 * (after / before - 1)).toFixed(2)}%`;
const rows = [];
for (const model of values.models.split(",")) {
  for (const name of values.experts.split(",")) {
    const expert = EXPERTS[name];
    const dense = {};
    for (const file of [...expert.own, ...expert.other])
      Object.assign(dense, await once(`${model} dense ${file}`, () => measure(model, [file])));
    for (const coverage of values.coverages.split(",").map(Number)) {
      const run = await once(`${model} ${name} ${coverage}`, () => trim(model, expert, coverage));
      const { before, after, vocabulary, held, others } = run;
      const change = (files) =>
        files
          .map((file) => `${file.replace("ppl_", "")} ${file in others ? percent(others[file], dense[file]) : "?"}`)
          .join(", ");
      rows.push([
        model,
        Object.values(expert.corpora).flat().join(" · "),
        `${(100 * coverage).toFixed(1)}%`,
        vocabulary?.after ?? "all",
        `${(100 * (1 - after / before)).toFixed(1)}%`,
        Object.entries(held)
          .map(([label, [a, b]]) => `${label} ${percent(b, a)}`)
          .join(", "),
        change(expert.own),
        change(expert.other),
      ]);
    }
  }
}
const header = [
  "model",
  "expert",
  "coverage",
  "tokens kept",
  "parameters freed",
  "own, held back",
  "same language",
  "other languages",
];
const table = [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
writeFileSync(join(folder, "table.md"), `${table}\n`);
console.log(table);
