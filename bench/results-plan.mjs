/**
 * @file The comparisons of docs/results.md: experts, methods, sizes, and the order in which bench/results.mjs makes
 * them.
 */

import { corpus, EN_MEDICAL_MULTIPLE_CHOICE } from "./corpora.mjs";

/** The experts, each with an evaluation file of its domain. No default was chosen by results on these files. */
export const EXPERTS = {
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
export const OTHERS = ["ppl_wikitext2_en", "ppl_news_en", "ppl_news_fr", "ppl_law_de"];
/** The one of them whose items are whole pages. */
export const PAGES = "ppl_wikitext2_en";

/** The methods, in the order of the table. */
export const METHODS = {
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

/** Documents of each corpus, tokens of each, and items of each evaluation file: fewer for models that take longer. */
export const SIZES = {
  smollm2: { documents: 48, heldOut: 24, tokens: 256, items: 16, pages: 1 },
  qwen2: { documents: 24, heldOut: 12, tokens: 256, items: 8, pages: 1 },
  gemma3: { documents: 32, heldOut: 16, tokens: 256, items: 8, pages: 1 },
};

/** Without the methods that ruin every model. */
const SOUND = ["wanda-sp", "flap", "shortgpt", "paper", "ragged-cut", "ragged"];
/**
 * Run after them, to remove the same amount. Gemma's norms after each sublayer leave nothing for SliceGPT to rotate.
 */
const PEERS = ["llm-pruner", "llm-pruner-middle"];
const QUARTER = "25% of blocks";
/** The comparisons, in order; with seed 0 unless a part has `seeds`. */
export const PLAN = [
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

/** Names of the methods that are not ours, without our repair. */
export const OTHER_METHODS = new Set(
  Object.values(METHODS)
    .filter(({ method, repair }) => method !== "cusprun" && repair !== true)
    .map(({ name }) => name),
);
