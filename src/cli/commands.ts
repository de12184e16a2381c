/**
 * @file The commands as data: what each takes, and its examples.
 */

import { renderColumns } from "../report/table.ts";
import { METHOD_NAMES, METHODS } from "../selection/methods/index.ts";
import type { OptionName } from "./options.ts";

/** Names of the commands. */
export type CommandName = "prune" | "inspect" | "fetch" | "score" | "select" | "apply" | "export" | "verify" | "eval" | "compare";

/** One command. */
export interface Command {
  /** One sentence without a full stop. */
  readonly summary: string;
  /** The one thing that stands behind the command's name. */
  readonly subject: { readonly hint: string; readonly help: string };
  readonly options: readonly OptionName[];
  /** Options without which the command does nothing. */
  readonly required: readonly OptionName[];
  /** Lines below the options. */
  readonly notes?: readonly string[];
  /** Command lines, without `cusprun`. */
  readonly examples: readonly string[];
}

const MODEL = { hint: "MODEL", help: "A folder, a GGUF file, a Hugging Face id, or a name that 'cusprun fetch' knows" } as const;
const CORPORA = ["language", "domain", "task", "documents", "held-out", "max-tokens", "seed"] as const;
const CHOICE = [
  "reduce",
  "layout",
  "granularity",
  "units",
  "matrices",
  "allocation",
  "floor",
  "snap",
  "aggregate",
  "weights",
  "keep-vocabulary",
  "vocabulary",
  "vocabulary-coverage",
] as const;
/** What each method is, as its table says. */
const METHOD_NOTES = [
  "What each method brings, unless --repair, --no-repair or --allocation decides for all:",
  ...renderColumns(
    METHOD_NAMES.map((name) => [`  ${name}`, METHODS[name].defaults.repair ? "repaired" : "not repaired", METHODS[name].summary]),
    3,
  ),
  "Runs that are in the folder are not made again: call it again to go on, or with more methods, budgets and seeds.",
];
const WRITING = ["out", "overwrite"] as const;
const FORMATS = ["formats", "dtype", "max-shard-size", "type"] as const;
const RUNNING = ["json", "quiet"] as const;
const COMPUTING = ["memory", "device", ...RUNNING] as const;

/** Every command, in the order of `--help`. */
export const COMMANDS: { readonly [Name in CommandName]: Command } = {
  prune: {
    summary: "Make a smaller expert of a model: score, select, apply and measure in one go",
    subject: MODEL,
    options: [
      ...CORPORA,
      ...CHOICE,
      "method",
      "vocabulary-corpus",
      ...WRITING,
      ...FORMATS,
      "maps",
      "repair",
      "general-share",
      "measure",
      "config",
      "work",
      ...COMPUTING,
    ],
    required: ["reduce", "out"],
    examples: [
      "prune smollm2 --language en --domain medical --task multiple-choice --reduce 25% --out experts/medical",
      "prune ./Mistral-Nemo-12B --language de --domain notes.jsonl --domain legal --reduce 30% --out experts/notar",
      "prune gemma3 --language de --reduce 40% --vocabulary-corpus my-texts/ --out experts/german",
      "prune model-Q4_K_M.gguf --domain medical --reduce 20% --formats gguf --out experts/medical",
      "prune ./Llama-3-8B --language de --reduce 25% --no-repair --memory 6G --out experts/german",
      "prune --config expert.yaml",
    ],
  },
  inspect: {
    summary: "Show a model's family, sizes, parameters and units without reading a weight",
    subject: MODEL,
    options: [...RUNNING],
    required: [],
    examples: ["inspect smollm2", "inspect ./Llama-3-8B --json"],
  },
  fetch: {
    summary: "Bring a model by name into the user's cache and print its path",
    subject: { hint: "NAME", help: "Name of a model that cusprun knows" },
    options: [...RUNNING],
    required: [],
    examples: ["fetch smollm2"],
  },
  score: {
    summary: "Score every unit on the corpora and save the relevances to a file",
    subject: MODEL,
    options: [
      ...CORPORA,
      "granularity",
      "units",
      "matrices",
      "keep-vocabulary",
      "vocabulary-corpus",
      "maps",
      ...WRITING,
      ...COMPUTING,
    ],
    required: ["out"],
    examples: ["score smollm2 --language en --domain medical --out scores.safetensors"],
  },
  select: {
    summary: "Decide from a scores file what goes, and save the plan",
    subject: { hint: "SCORES", help: "File that 'cusprun score' wrote" },
    options: ["dimensions", ...CHOICE, "dtype", ...WRITING, ...RUNNING],
    required: ["reduce", "out"],
    examples: [
      "select scores.safetensors --reduce 25% --out plan.json",
      "select scores.safetensors --reduce 40% --layout masked --out plan.json",
    ],
  },
  apply: {
    summary: "Cut what a plan names out of a model and write the expert, repaired if corpora are named",
    subject: MODEL,
    options: ["plan", ...CORPORA, ...WRITING, ...FORMATS, "general-share", "work", ...COMPUTING],
    required: ["plan", "out"],
    examples: [
      "apply smollm2 --plan plan.json --out experts/medical",
      "apply smollm2 --plan plan.json --language en --domain medical --out experts/repaired",
    ],
  },
  export: {
    summary: "Write an expert, or any other model, for llama.cpp, Ollama, LM Studio, transformers.js or ONNX Runtime",
    subject: { hint: "EXPERT", help: "A folder that 'cusprun prune' or 'cusprun apply' wrote, or any other MODEL" },
    options: ["to", "type", ...WRITING, ...RUNNING],
    required: ["to", "out"],
    examples: [
      "export experts/medical --to gguf --out medical.gguf",
      "export model-Q4_K_M.gguf --to safetensors --out model",
      "export experts/medical --to gguf --type Q4_K_M --out medical-q4_k_m.gguf",
      "export experts/medical --to onnx --type q4 --out medical-onnx",
    ],
  },
  verify: {
    summary: "Load what was written in the stock runtimes that are installed and compare them with our own forward pass",
    subject: { hint: "EXPERT", help: "A folder or a GGUF file that 'cusprun prune', 'apply' or 'export' wrote" },
    options: ["against", "trust-remote-code", ...COMPUTING],
    required: [],
    examples: ["verify experts/medical", "verify medical-q4_k_m.gguf --json", "verify experts/ragged --trust-remote-code"],
  },
  eval: {
    summary: "Measure a model on evaluation files, with intervals, and perhaps against another model",
    subject: MODEL,
    options: ["tasks", "limit", "against", "window", ...WRITING, ...COMPUTING],
    required: ["tasks"],
    examples: [
      "eval smollm2 --tasks questions.jsonl --limit 100",
      "eval experts/medical --against smollm2 --tasks medqa.jsonl --tasks news.jsonl",
      "eval experts/medical --tasks eval/ --json --out medical-eval.json",
    ],
  },
  compare: {
    summary: "Compare methods of pruning side by side: a table and plots over methods, budgets and seeds",
    subject: MODEL,
    options: [
      ...CORPORA.filter((name) => name !== "seed"),
      "seeds",
      "methods",
      "budgets",
      "layout",
      "units",
      "allocation",
      "floor",
      "snap",
      "weights",
      "keep-vocabulary",
      "vocabulary",
      "vocabulary-coverage",
      "repair",
      "tasks",
      "limit",
      "window",
      ...WRITING,
      "keep",
      "work",
      ...COMPUTING,
    ],
    required: ["budgets", "out"],
    notes: METHOD_NOTES,
    examples: [
      "compare smollm2 --language en --domain medical --budgets '15% of blocks,25% of blocks' --out comparison",
      "compare smollm2 --domain notes.jsonl --budgets 20% --seeds 0,1,2 --tasks questions.jsonl --out notes",
      "compare smollm2 --language de --methods cusprun,wanda-sp --repair --budgets 20%,30% --out repaired",
    ],
  },
};

/** Names of all commands, in order. */
export const COMMAND_NAMES: readonly CommandName[] = Object.keys(COMMANDS) as CommandName[];
