/**
 * @file The tables of docs/results.md: `compareMethods` for one expert after the other, on data beside the project (../shared/data). What was made is in the folder and is
 * not made again, so that an interrupted run goes on, and a later one adds methods and budgets.
 *
 *     npm run bench:results -- [--models smollm2] [--experts en-medical] [--budgets '25% of blocks'] [--methods uniform,ragged] [--seeds 0]
 *                              [--documents 48] [--held-out 24] [--tokens 256] [--items 24] [--pages 2]
 *                              [--minutes 60] [--out FOLDER] [--table docs/results.md]
 *
 * `--documents`, `--held-out` and `--tokens` are those of a dimension's corpus; `--items` of each evaluation file, `--pages` of wikitext. Another size wants another
 * folder. `--minutes` stops once so much time is gone. `--budgets ''` makes nothing, and only writes the tables.
 */

import { mkdirSync, existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compareMethods } from "../dist/index.js";
import { table } from "./tables.mjs";

const DATA = join(import.meta.dirname, "../../shared/data");
const corpus = (name) => [join(DATA, "calibration", `${name}.jsonl`)];

/** Places that are reported, and an evaluation file of each. No default was chosen by what is measured on them. */
const EXPERTS = {
  "en-medical": {
    title: "en · medical · multiple-choice",
    corpora: { language: corpus("language-en"), domain: corpus("domain-medical"), task: corpus("task-multiple-choice") },
    own: "mc_mmlu_medical_en",
  },
  "en-medical-2": {
    title: "en · medical",
    corpora: { language: corpus("language-en"), domain: corpus("domain-medical") },
    own: "mc_mmlu_medical_en",
  },
  "medical-1": { title: "medical", corpora: { domain: corpus("domain-medical") }, own: "mc_mmlu_medical_en" },
  "en-math": {
    title: "en · math · word problems",
    corpora: { language: corpus("language-en"), domain: corpus("domain-math"), task: corpus("task-math-word-problems") },
    own: "mc_mmlu_math_en",
  },
  "en-legal": {
    title: "en · legal · question-answering",
    corpora: { language: corpus("language-en"), domain: corpus("domain-legal"), task: corpus("task-question-answering") },
    own: "mc_legalbench_en",
  },
  en: { title: "en", corpora: { language: corpus("language-en") }, own: "mc_arc_easy_en" },
  "zh-legal": {
    title: "zh · legal",
    corpora: { language: corpus("language-zh"), domain: corpus("domain-legal") },
    own: "ppl_law_zh",
  },
  "de-summarisation": {
    title: "de · summarisation",
    corpora: { language: corpus("language-de"), task: corpus("task-summarisation") },
    own: "ppl_news_de",
  },
};
/** General ability, and other languages. */
const OTHERS = ["ppl_wikitext2_en", "ppl_news_en", "ppl_news_fr", "ppl_law_de"];
/** Comes in whole pages. */
const PAGES = "ppl_wikitext2_en";

/** What is compared, in the order of the table. */
const METHODS = {
  random: { name: "random units", method: "random" },
  magnitude: { name: "magnitude", method: "magnitude" },
  "wanda-sp": { name: "Wanda-sp", method: "wanda-sp" },
  flap: { name: "FLAP, without its bias", method: "flap" },
  "flap-ragged": { name: "FLAP, without its bias, its own widths (ragged)", method: "flap", selection: { layout: "ragged" } },
  shortgpt: { name: "ShortGPT, whole layers", method: "shortgpt" },
  paper: { name: "Cus-Prun's rule", method: "cusprun-paper" },
  "uniform-cut": { name: "cusprun, uniform, no repair", method: "cusprun", repair: false },
  "wanda-sp-repair": { name: "Wanda-sp + our repair", method: "wanda-sp", repair: true },
  uniform: { name: "cusprun, uniform", method: "cusprun" },
  "ragged-cut": { name: "cusprun, ragged, no repair", method: "cusprun", repair: false, selection: { layout: "ragged" } },
  "ragged-relevance": {
    name: "cusprun, ragged by relevance",
    method: "cusprun",
    selection: { layout: "ragged", allocation: "global" },
  },
  ragged: { name: "cusprun, ragged", method: "cusprun", selection: { layout: "ragged" } },
  "ragged-general": {
    name: "cusprun, ragged, a quarter general text",
    method: "cusprun",
    generalShare: 0.25,
    selection: { layout: "ragged" },
  },
};

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "smollm2" },
    experts: { type: "string", default: "en-medical" },
    budgets: { type: "string", default: "25% of blocks" },
    methods: { type: "string", default: Object.keys(METHODS).join(",") },
    seeds: { type: "string", default: "0" },
    documents: { type: "string", default: "48" },
    "held-out": { type: "string", default: "24" },
    tokens: { type: "string", default: "256" },
    items: { type: "string", default: "24" },
    pages: { type: "string", default: "2" },
    minutes: { type: "string" },
    out: { type: "string", default: "bench-results/results" },
    table: { type: "string" },
  },
});
const list = (text) => text.split(",").filter((part) => part !== "");
const signal = values.minutes === undefined ? undefined : AbortSignal.timeout(60_000 * Number(values.minutes));
const tasks = join(values.out, "tasks");
mkdirSync(tasks, { recursive: true });
let lastStage;

try {
  for (const model of list(values.models)) for (const expert of list(values.experts)) await compare(model, expert);
} catch (error) {
  if (!signal?.aborted) throw error;
  console.error(`${values.minutes} minutes are over; run again to go on`);
}
const text = tables();
if (values.table !== undefined) {
  const marker = "<!-- made by npm run bench:results -->";
  const before = existsSync(values.table) ? readFileSync(values.table, "utf8").split(marker)[0] : "# Results\n\n";
  writeFileSync(values.table, `${before}${marker}\n\n${text}`);
}
console.log(text);

async function compare(model, name) {
  const { corpora, own } = EXPERTS[name];
  const names = [...new Set([own, ...OTHERS])];
  for (const each of names) shorten(each, Number(each === PAGES ? values.pages : values.items));
  // A budget of all parameters takes tokens too, which is another comparison.
  for (const ofBlocks of [true, false]) {
    const budgets = list(values.budgets).filter((budget) => budget.endsWith("of blocks") === ofBlocks);
    if (budgets.length === 0) continue;
    await compareMethods({
      model,
      corpora,
      corpusOptions: {
        documents: Number(values.documents),
        heldOutDocuments: Number(values["held-out"]),
        maxTokens: Number(values.tokens),
      },
      methods: list(values.methods).map((method) => METHODS[method]),
      budgets,
      seeds: list(values.seeds).map(Number),
      ...(ofBlocks ? { selection: { vocabulary: "keep" } } : {}),
      tasks: names.map((each) => join(tasks, `${each}.jsonl`)),
      out: join(values.out, `${model}--${name}--${ofBlocks ? "blocks" : "all"}`),
      onProgress: ({ stage }) => {
        if (stage !== lastStage) console.error(`${model} ${name}: ${stage}`);
        lastStage = stage;
      },
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

/** The first items of an evaluation file. */
function shorten(name, count) {
  const lines = readFileSync(join(DATA, "eval/dev", `${name}.jsonl`), "utf8")
    .split("\n")
    .filter((line) => line !== "");
  writeFileSync(join(tasks, `${name}.jsonl`), `${lines.slice(0, count).join("\n")}\n`);
}

/** One table per comparison, budget and seed. */
function tables() {
  const parts = [];
  for (const folder of readdirSync(values.out).filter((each) => each.includes("--"))) {
    const path = join(values.out, folder, "results.json");
    if (!existsSync(path)) continue;
    const { dense, runs, settings } = JSON.parse(readFileSync(path, "utf8"));
    const [model, name] = folder.split("--");
    for (const group of new Set(runs.map(({ budget, seed }) => `${budget}|${seed}`))) {
      const members = runs.filter(({ budget, seed }) => `${budget}|${seed}` === group);
      const order = Object.values(METHODS).map((method) => method.name);
      members.sort((a, b) => order.indexOf(a.method) - order.indexOf(b.method));
      const [budget, seed] = group.split("|");
      const first = members[0];
      // Perplexity is per token, and so not comparable where tokens went.
      const figure = members.some(({ vocabulary }) => vocabulary !== null) ? "bitsPerByte" : "perplexity";
      const fixed = (value) => (value === null || value === undefined ? "∞" : value.toFixed(figure === "perplexity" ? 1 : 3));
      const row = (label, dimensions, results, last) => [
        label,
        ...dimensions.map((each) => fixed(each?.[figure])),
        ...results.flatMap(taskCells),
        ...last,
      ];
      const header = [
        "method",
        ...first.dimensions.map(({ label }) => label.replace(/^\w+?-|\.jsonl$/g, "")),
        ...dense.tasks.flatMap(({ name: file, figures }) =>
          "accuracy" in figures ? [`${file}, accuracy`, "nats"] : [file.replace("ppl_", "")],
        ),
        "removed",
        "minutes",
      ];
      const rows = [
        row(
          "dense",
          first.dimensions.map((each) => each.dense),
          dense.tasks,
          ["", ""],
        ),
        ...members.map((run) =>
          row(
            run.method,
            run.dimensions.map((each) => each.expert),
            run.tasks,
            [`${((100 * run.parameters.removed) / run.parameters.before).toFixed(1)}%`, (run.elapsedMs / 60_000).toFixed(1)],
          ),
        ),
      ];
      const { calibrationDocuments, heldOutDocuments } = first.dimensions[0];
      const title = `### ${model}, ${EXPERTS[name].title}, ${budget}${seed === "0" ? "" : `, seed ${seed}`}`;
      const sizes = `${calibrationDocuments} documents of each corpus of at most ${settings.maxTokens} tokens choose and mend, ${heldOutDocuments} judge${figure === "perplexity" ? "" : ", in bits per byte"}.`;
      parts.push(`${title}\n\n${sizes}\n\n${table(header, rows)}\n`);
    }
  }
  return parts.join("\n");
}

/** Accuracy with its interval and the negative log-likelihood of the right choice, or bits per byte. */
function taskCells({ figures }) {
  if (!("accuracy" in figures)) return [figures.bitsPerByte.value.toFixed(3)];
  const { value, interval } = figures.accuracy;
  const percent = (share) => (100 * share).toFixed(0);
  return [
    `${percent(value)}% (${percent(interval[0])} to ${percent(interval[1])})`,
    figures.answerNegativeLogLikelihood.value.toFixed(2),
  ];
}
