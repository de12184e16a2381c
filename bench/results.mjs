/**
 * @file The tables of docs/results.md: `compareMethods` for one expert after the other, on data beside the project (../shared/data). What was made is in `docs/results` and is
 * not made again, so that an interrupted run goes on: all of it takes a night on two cores. Methods that PyTorch makes (peers.mjs) need `CUSPRUN_PYTHON`, as interoperability tests do.
 *
 *     npm run bench:results -- [--models smollm2,qwen2] [--experts en-medical] [--budgets '25% of blocks'] [--methods uniform,ragged] [--seeds 0]
 *                              [--minutes 60] [--out FOLDER] [--table docs/results.md]
 *
 * `--models`, `--experts`, `--budgets` and `--methods` leave out all others of the plan below; `--seeds` takes the place of its own. `--minutes` stops once so much time is gone. `--only-tables` makes nothing.
 */

import { mkdirSync, mkdtempSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compareMethods } from "cusprun";
import { corpus, EN_MEDICAL_MULTIPLE_CHOICE } from "./corpora.mjs";
import { makePeerRuns } from "./peers.mjs";
import { summary, tables } from "./results-tables.mjs";

const EVALUATION_FILES = join(import.meta.dirname, "../../shared/data/eval/dev");

/** Places that are reported, and an evaluation file of each. No default was chosen by what is measured on them. */
const EXPERTS = {
  "en-medical": {
    title: "en · medical · multiple-choice",
    corpora: EN_MEDICAL_MULTIPLE_CHOICE,
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
  slicegpt: { name: "SliceGPT, narrower layers", inPyTorch: true },
  "llm-pruner": { name: "LLM-Pruner, Taylor", inPyTorch: true },
  "llm-pruner-middle": { name: "LLM-Pruner, Taylor, outer layers whole", inPyTorch: true },
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

/** Beside the results of a comparison: runs of PyTorch. */
const PEERS_FILE = "peers.json";

/** Documents of each corpus, tokens of each, and items of each evaluation file: what larger models cost is paid with fewer. */
const SIZES = {
  smollm2: { documents: 48, heldOut: 24, tokens: 256, items: 16, pages: 1 },
  qwen2: { documents: 24, heldOut: 12, tokens: 256, items: 8, pages: 1 },
  gemma3: { documents: 32, heldOut: 16, tokens: 256, items: 8, pages: 1 },
};

/** Without those that ruin every model. */
const SOUND = ["wanda-sp", "flap", "shortgpt", "paper", "ragged-cut", "ragged"];
/** Made after them, since they remove as much. Gemma's norms behind each sublayer leave SliceGPT nothing to rotate. */
const PEERS = ["llm-pruner", "llm-pruner-middle"];
const QUARTER = "25% of blocks";
/** What is made, in this order; with seed 0, unless a part says so. */
const PLAN = [
  {
    model: "smollm2",
    experts: ["en-medical", "en-math", "en-legal", "en"],
    budgets: [QUARTER],
    methods: [...SOUND, ...PEERS, "slicegpt"],
  },
  {
    model: "qwen2",
    experts: ["en-medical", "zh-legal", "de-summarisation"],
    budgets: [QUARTER],
    methods: [...SOUND, ...PEERS, "slicegpt"],
  },
  { model: "gemma3", experts: ["en-medical", "zh-legal", "de-summarisation"], budgets: [QUARTER], methods: [...SOUND, ...PEERS] },
  {
    model: "smollm2",
    experts: ["en-medical"],
    budgets: [QUARTER],
    methods: ["random", "magnitude", "uniform-cut", "uniform", "wanda-sp-repair", "flap-ragged", "ragged-general"],
  },
  {
    model: "smollm2",
    experts: ["en-medical", "en-math", "en-legal", "en"],
    budgets: ["15% of blocks", "35% of blocks", "25%"],
    methods: SOUND,
  },
  {
    model: "smollm2",
    experts: ["en-medical", "en-math", "en-legal", "en"],
    budgets: ["15% of blocks", "35% of blocks"],
    methods: ["llm-pruner-middle"],
  },
  { model: "smollm2", experts: ["medical-1", "en-medical-2"], budgets: [QUARTER], methods: ["ragged"] },
  { model: "smollm2", experts: ["en-medical", "en-math"], budgets: [QUARTER], methods: SOUND, seeds: [1] },
];

/** Names of those that are not ours, as they come. */
const OTHER_METHODS = new Set(
  Object.values(METHODS)
    .filter(({ method, repair }) => method !== "cusprun" && repair !== true)
    .map(({ name }) => name),
);

const { values } = parseArgs({
  options: {
    models: { type: "string" },
    experts: { type: "string" },
    budgets: { type: "string" },
    methods: { type: "string" },
    seeds: { type: "string" },
    minutes: { type: "string" },
    out: { type: "string", default: "docs/results" },
    table: { type: "string" },
    "only-tables": { type: "boolean", default: false },
  },
});
const signal = values.minutes === undefined ? undefined : AbortSignal.timeout(60_000 * Number(values.minutes));
const tasks = mkdtempSync(join(tmpdir(), "cusprun-results-"));
mkdirSync(values.out, { recursive: true });
let lastStage;

try {
  for (const part of values["only-tables"] ? [] : PLAN) await make(part);
} catch (error) {
  if (!signal?.aborted) throw error;
  console.error(`${values.minutes} minutes are over; run again to go on`);
} finally {
  rmSync(tasks, { recursive: true });
}
const made = comparisons();
const names = { ours: METHODS.ragged.name, cut: METHODS["ragged-cut"].name };
const order = Object.values(METHODS).map(({ name }) => name);
const text = `${summary(made, { names, others: OTHER_METHODS, page: PAGES })}\n${tables(made, order)}`;
if (values.table !== undefined) {
  const marker = "<!-- made by npm run bench:results -->";
  const before = existsSync(values.table) ? readFileSync(values.table, "utf8").split(marker)[0] : "# Results\n\n";
  writeFileSync(values.table, `${before}${marker}\n\n${text}`);
}
console.log(text);

/** Makes what the options leave of a part of the plan. */
async function make({ model, experts, budgets, methods, seeds: planned = [0] }) {
  const chosen = (name, all) => all.filter((each) => values[name] === undefined || values[name].split(",").includes(each));
  if (chosen("models", [model]).length === 0) return;
  const left = chosen("methods", methods);
  const seeds = values.seeds?.split(",").map(Number) ?? planned;
  for (const expert of chosen("experts", experts)) {
    // A budget of all parameters takes tokens too, which is another comparison.
    for (const ofBlocks of [true, false]) {
      const some = chosen("budgets", budgets).filter((budget) => budget.endsWith("of blocks") === ofBlocks);
      if (some.length > 0 && left.length > 0) await compare(model, expert, ofBlocks, some, left, seeds);
    }
  }
}

async function compare(model, name, ofBlocks, budgets, methods, seeds) {
  const { corpora, own } = EXPERTS[name];
  const { documents, heldOut, tokens, items, pages } = SIZES[model];
  const names = [...new Set([own, ...OTHERS])];
  for (const each of names) shorten(each, each === PAGES ? pages : items);
  const shared = {
    model,
    corpora,
    corpusOptions: { documents, heldOutDocuments: heldOut, maxTokens: tokens },
    tasks: names.map((each) => join(tasks, `${each}.jsonl`)),
    out: join(values.out, `${model}--${name}--${ofBlocks ? "blocks" : "all"}`),
  };
  const tell = (stage) => {
    if (stage !== lastStage) console.error(`${new Date().toISOString().slice(11, 19)} ${model} ${name}: ${stage}`);
    lastStage = stage;
  };
  const ours = methods.filter((method) => !METHODS[method].inPyTorch);
  if (ours.length > 0) {
    await compareMethods({
      ...shared,
      methods: ours.map((method) => METHODS[method]),
      budgets,
      seeds,
      ...(ofBlocks ? { selection: { vocabulary: "keep" } } : {}),
      onProgress: ({ stage }) => tell(stage),
      ...(signal === undefined ? {} : { signal }),
    });
  }
  const others = methods.filter((method) => !ours.includes(method));
  for (const budget of budgets) for (const seed of seeds) await makePeers(shared, others, budget, seed, tell);
}

/** Runs that PyTorch makes, unless they are there: as many units go, or as large a share, as in a run of the comparison. */
async function makePeers(shared, wanted, budget, seed, tell) {
  const path = join(shared.out, PEERS_FILE);
  const made = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : [];
  const isOf = (run) => run.budget === budget && run.seed === seed;
  const methods = wanted.filter((method) => !made.some((run) => isOf(run) && run.method === METHODS[method].name));
  if (methods.length === 0) return;
  const names = methods.map((method) => METHODS[method].name).join("; ");
  const python = process.env.CUSPRUN_PYTHON;
  if (python === undefined) return tell(`left out without CUSPRUN_PYTHON: ${names}`);
  signal?.throwIfAborted();
  tell(`${budget}: ${names}`);
  const { dense, runs } = JSON.parse(readFileSync(join(shared.out, "results.json"), "utf8"));
  const like = runs.find((run) => isOf(run) && run.method === METHODS["wanda-sp"].name);
  const found = await makePeerRuns(python, {
    ...shared,
    corpusOptions: { ...shared.corpusOptions, seed },
    methods,
    share: Number.parseFloat(budget) / 100,
    removedUnits: like.units[0].removedPerLayer.reduce((sum, count) => sum + count, 0),
    dense: { ...dense, dimensions: like.dimensions.map((dimension) => dimension.dense) },
    checked: PAGES,
    work: tasks,
  });
  const news = methods.map((method) => ({ method: METHODS[method].name, budget, seed, ...found[method] }));
  writeFileSync(path, `${JSON.stringify([...made, ...news], null, 1)}\n`);
}

/** The first items of an evaluation file. */
function shorten(name, count) {
  const lines = readFileSync(join(EVALUATION_FILES, `${name}.jsonl`), "utf8")
    .split("\n")
    .filter((line) => line !== "");
  writeFileSync(join(tasks, `${name}.jsonl`), `${lines.slice(0, count).join("\n")}\n`);
}

/** Comparisons that have runs, those of PyTorch among them, in the order of the plan, their runs by budget and seed. */
function comparisons() {
  const folders = readdirSync(values.out).filter((folder) => existsSync(join(values.out, folder, "results.json")));
  const order = PLAN.flatMap(({ model, experts }) =>
    experts.flatMap((name) => ["blocks", "all"].map((of) => `${model}--${name}--${of}`)),
  );
  return folders
    .toSorted((a, b) => order.indexOf(a) - order.indexOf(b))
    .map((folder) => {
      const [model, name] = folder.split("--");
      const { runs, ...rest } = JSON.parse(readFileSync(join(values.out, folder, "results.json"), "utf8"));
      const peers = join(values.out, folder, PEERS_FILE);
      const others = existsSync(peers) ? JSON.parse(readFileSync(peers, "utf8")) : [];
      return { model, title: EXPERTS[name].title, ...rest, runs: [...runs, ...others] };
    })
    .flatMap(({ runs, ...rest }) => {
      const groups = [...new Set(runs.map(({ budget, seed }) => `${budget}|${seed}`))].toSorted((a, b) =>
        a.localeCompare(b, "en", { numeric: true }),
      );
      return groups.map((group) => {
        const [budget, seed] = group.split("|");
        return {
          ...rest,
          budget,
          seed: Number(seed),
          runs: runs.filter((run) => run.budget === budget && run.seed === Number(seed)),
        };
      });
    });
}
