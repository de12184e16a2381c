/**
 * @file Methods of pruning side by side: the same model, calibration documents, budget and evaluation for all. Every run is kept in a file, so that an
 * interrupted comparison goes on where it stopped, and runs that are there are not made again; then the tables of docs/results.md.
 *
 *     npm run bench:methods -- [--models smollm2] [--experts en-medical] [--budgets 25%] [--variants dense,cusprun] [--seeds 0]
 *                              [--documents 48] [--held-out 24] [--tokens 256] [--items 24] [--pages 2]
 *                              [--minutes 60] [--out FOLDER] [--table docs/results.md]
 *
 * The data lie beside the project (../shared/data). `--documents`, `--held-out` and `--tokens` are those of a dimension's corpus; `--items` of each evaluation
 * file, `--pages` of wikitext. Another size wants another folder. `--minutes` stops before the next run once so much time is gone.
 */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { evaluateModel, pruneModel } from "../dist/index.js";

const DATA = join(import.meta.dirname, "../../shared/data");
const corpus = (name) => [join(DATA, "calibration", `${name}.jsonl`)];

/** Places that are reported. No default was chosen by what is measured on them. */
const EXPERTS = {
  "en-medical": {
    title: "en · medical · multiple-choice",
    corpora: { language: corpus("language-en"), domain: corpus("domain-medical"), task: corpus("task-multiple-choice") },
    own: ["mc_mmlu_medical_en"],
  },
  "en-legal": {
    title: "en · legal · question-answering",
    corpora: { language: corpus("language-en"), domain: corpus("domain-legal"), task: corpus("task-question-answering") },
    own: ["mc_legalbench_en"],
  },
  en: { title: "en", corpora: { language: corpus("language-en") }, own: ["ppl_news_en"] },
  "zh-legal": {
    title: "zh · legal",
    corpora: { language: corpus("language-zh"), domain: corpus("domain-legal") },
    own: ["ppl_law_zh"],
  },
};
/** General ability and other languages. Wikitext comes in whole pages. */
const GENERAL = ["ppl_wikitext2_en", "ppl_news_en"];
const OTHER = ["ppl_news_fr", "ppl_law_de"];
const PAGES_OF = new Set(["ppl_wikitext2_en"]);

/** What is compared, in the order of the table. */
const VARIANTS = {
  random: { text: "random units", method: "random", layout: "uniform" },
  magnitude: { text: "magnitude", method: "magnitude", layout: "uniform" },
  "wanda-sp": { text: "Wanda-sp", method: "wanda-sp", layout: "uniform" },
  flap: { text: "FLAP, without its bias", method: "flap", layout: "uniform" },
  "flap-ragged": { text: "FLAP, without its bias, its own widths (ragged)", method: "flap", layout: "ragged" },
  shortgpt: { text: "ShortGPT, whole layers", method: "shortgpt", layout: "uniform" },
  paper: { text: "Cus-Prun's rule", method: "cusprun-paper", layout: "uniform" },
  "uniform-cut": { text: "cusprun, uniform, no repair", layout: "uniform", repair: false },
  "wanda-sp-repair": { text: "Wanda-sp + our repair", method: "wanda-sp", layout: "uniform", repair: true },
  uniform: { text: "cusprun, uniform", layout: "uniform" },
  "ragged-cut": { text: "cusprun, ragged, no repair", layout: "ragged", repair: false },
  "ragged-relevance": { text: "cusprun, ragged by relevance", layout: "ragged", allocation: "global" },
  ragged: { text: "cusprun, ragged", layout: "ragged" },
  "ragged-general": { text: "cusprun, ragged, a quarter general text", layout: "ragged", generalShare: 0.25 },
};

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "smollm2" },
    experts: { type: "string", default: "en-medical" },
    budgets: { type: "string", default: "25%" },
    variants: { type: "string", default: Object.keys(VARIANTS).join(",") },
    seeds: { type: "string", default: "0" },
    documents: { type: "string", default: "48" },
    "held-out": { type: "string", default: "24" },
    tokens: { type: "string", default: "256" },
    items: { type: "string", default: "24" },
    pages: { type: "string", default: "2" },
    minutes: { type: "string", default: "Infinity" },
    out: { type: "string", default: "bench-results/methods" },
    table: { type: "string" },
  },
});
const list = (text) => text.split(",");
const DOCUMENTS = {
  documents: Number(values.documents),
  heldOutDocuments: Number(values["held-out"]),
  maxTokens: Number(values.tokens),
};
const startedAtMs = performance.now();
mkdirSync(values.out, { recursive: true });
const path = join(values.out, "results.json");
const results = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};

async function once(key, work) {
  if (results[key] !== undefined || performance.now() - startedAtMs > 60_000 * Number(values.minutes)) return;
  console.error(key);
  results[key] = await work();
  writeFileSync(path, JSON.stringify(results, null, 1));
}

/** Figures of a model on evaluation files, by name. */
async function measure(model, names) {
  const figures = {};
  for (const name of names) {
    const tasks = [join(DATA, "eval/dev", `${name}.jsonl`)];
    const report = await evaluateModel({ model, tasks, limit: Number(PAGES_OF.has(name) ? values.pages : values.items) });
    figures[name] = report.tasks[0].figures;
  }
  return figures;
}

const filesOf = ({ own }) => [...new Set([...own, ...GENERAL, ...OTHER])];

async function prune(model, expert, budget, seed, { method, repair, generalShare, ...selection }) {
  const out = join(values.out, "expert");
  const {
    parameters,
    units,
    repair: repaired,
    dimensions,
    elapsedMs,
  } = await pruneModel({
    model,
    corpora: expert.corpora,
    corpusOptions: { ...DOCUMENTS, seed },
    selection: { budget: `${budget} of blocks`, vocabulary: "keep", ...selection },
    ...Object.fromEntries(Object.entries({ method, repair, generalShare }).filter(([, value]) => value !== undefined)),
    work: join(values.out, "work"),
    out,
    overwrite: true,
  });
  const figures = await measure(out, filesOf(expert));
  rmSync(out, { recursive: true });
  return { parameters, units, repaired, dimensions, elapsedMs, peakBytes: process.resourceUsage().maxRSS * 1024, figures };
}

for (const model of list(values.models)) {
  for (const name of list(values.experts)) {
    const expert = EXPERTS[name];
    await once(`${model}|${name}|dense`, async () => ({ figures: await measure(model, filesOf(expert)) }));
    for (const budget of list(values.budgets)) {
      for (const seed of list(values.seeds).map(Number)) {
        for (const variant of list(values.variants)) {
          await once(`${model}|${name}|${budget}|${seed}|${variant}`, () =>
            prune(
              model,
              expert,
              budget,
              seed,
              Object.fromEntries(Object.entries(VARIANTS[variant]).filter(([key]) => key !== "text")),
            ),
          );
        }
      }
    }
  }
}

const fixed = (value, digits = 1) => (value === undefined ? "" : value.toFixed(digits));
const bits = (figures, name) => fixed(figures?.[name]?.bitsPerByte?.value, 3);

/** One table per model, expert, budget and seed; rows that are missing are left out. */
function tables() {
  const parts = [];
  for (const [key, dense] of Object.entries(results).filter(([candidate]) => candidate.endsWith("|dense"))) {
    const [model, name] = key.split("|");
    const expert = EXPERTS[name];
    const runs = Object.entries(results).filter(([candidate]) => candidate.startsWith(`${model}|${name}|`) && candidate !== key);
    for (const group of new Set(runs.map(([candidate]) => candidate.split("|").slice(2, 4).join("|")))) {
      const [budget, seed] = group.split("|");
      const [, { dimensions }] = runs.find(([candidate]) => candidate.startsWith(`${model}|${name}|${group}|`));
      const others = [...GENERAL, ...OTHER];
      const { calibrationDocuments, heldOutDocuments } = dimensions[0];
      const sizes = `${calibrationDocuments} documents of each corpus choose and mend, ${heldOutDocuments} judge.`;
      const header = [
        "method",
        ...dimensions.map(({ label }) => label.replace(/^\w+?-|\.jsonl$/g, "")),
        ...others.map((file) => file.replace("ppl_", "")),
        "minutes",
      ];
      const rows = [
        [
          "dense",
          ...dimensions.map((each) => fixed(each.dense.perplexity)),
          ...others.map((file) => bits(dense.figures, file)),
          "",
        ],
      ];
      for (const [variant, { text }] of Object.entries(VARIANTS)) {
        const run = results[`${model}|${name}|${group}|${variant}`];
        if (run === undefined) continue;
        rows.push([
          text,
          ...run.dimensions.map((each) => fixed(each.expert.perplexity)),
          ...others.map((file) => bits(run.figures, file)),
          fixed(run.elapsedMs / 60_000),
        ]);
      }
      const lines = [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
      parts.push(
        `### ${model}, ${expert.title}, ${budget} of the blocks${seed === "0" ? "" : `, seed ${seed}`}\n\n${sizes}\n\n${lines.join("\n")}\n`,
      );
    }
  }
  return parts.join("\n");
}

const table = tables();
if (values.table !== undefined) {
  const marker = "<!-- made by npm run bench:methods -->";
  const before = existsSync(values.table) ? readFileSync(values.table, "utf8").split(marker)[0] : "# Results\n\n";
  writeFileSync(values.table, `${before}${marker}\n\n${table}`);
}
console.log(table);
