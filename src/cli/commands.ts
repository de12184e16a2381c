/**
 * @file The commands as data: arguments, options and examples.
 */

import { CATALOG } from "../checkpoint/hub/catalog.ts";
import { renderColumns } from "../report/table.ts";
import { METHOD_NAMES, METHODS } from "../selection/methods/index.ts";
import type { OptionName } from "./settings.ts";

/** Names of the commands. */
export type CommandName =
  | "prune"
  | "inspect"
  | "fetch"
  | "score"
  | "select"
  | "apply"
  | "export"
  | "verify"
  | "eval"
  | "compare"
  | "cache";

/** One command. */
export interface Command {
  /** One sentence without a full stop. */
  readonly summary: string;
  /** The positional argument; null if the command takes none. */
  readonly subject: { readonly hint: string; readonly help: string } | null;
  readonly options: readonly OptionName[];
  /** Mandatory options. */
  readonly required: readonly OptionName[];
  /** Lines after the options in `--help`. */
  readonly notes?: readonly string[];
  /** Command lines, without `cusprun`. */
  readonly examples: readonly string[];
}

const MODEL = {
  hint: "MODEL",
  help: "A folder, a GGUF file, a Hugging Face id (OWNER/NAME), or a short name (see 'cusprun fetch --help')",
} as const;
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
/** The methods with their default repair and summary. */
const METHOD_NOTES = [
  "Methods and their defaults, which --repair, --no-repair and --allocation override for all of them:",
  ...renderColumns(
    METHOD_NAMES.map((name) => [`  ${name}`, METHODS[name].defaults.repair ? "repaired" : "not repaired", METHODS[name].summary]),
    3,
  ),
  "Completed runs in the output folder are reused: run the command again to resume, or to add methods, budgets and seeds.",
];
const WRITING = ["out", "overwrite"] as const;
const FORMATS = ["formats", "dtype", "max-shard-size", "type"] as const;
const RUNNING = ["json", "quiet"] as const;
const COMPUTING = ["memory", "device", ...RUNNING] as const;

/** Every command, in the order of `--help`. */
export const COMMANDS: { readonly [Name in CommandName]: Command } = {
  prune: {
    summary: "Prune a model to a smaller expert: score, select, apply, repair and measure in one run",
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
      "dry-run",
      ...COMPUTING,
    ],
    required: ["reduce", "out"],
    examples: [
      "prune smollm2 --language en --domain medical --task multiple-choice --reduce 25% --out experts/medical",
      "prune ./Mistral-Nemo-12B --language de --domain notes.jsonl --domain legal --reduce 30% --out experts/notar",
      "prune gemma3 --language de --reduce 40% --vocabulary-corpus my-texts/ --out experts/german",
      "prune model-Q4_K_M.gguf --domain medical --reduce 20% --formats gguf --out experts/medical",
      "prune ./Llama-3-8B --language de --reduce 25% --no-repair --memory 6G --out experts/german",
      "prune smollm2 --language en --reduce 25% --out experts/english --dry-run",
      "prune --config expert.yaml",
    ],
  },
  inspect: {
    summary: "Show a model's family, sizes, parameters and units, without reading its weights",
    subject: MODEL,
    options: [...RUNNING],
    required: [],
    examples: ["inspect smollm2", "inspect ./Llama-3-8B --json"],
  },
  fetch: {
    summary: "Download a model by its short name and print its path",
    subject: { hint: "NAME", help: `Short name of a model: ${CATALOG.map(({ name }) => name).join(", ")}` },
    options: [...RUNNING],
    required: [],
    examples: ["fetch smollm2", "fetch gemma3 --json"],
  },
  score: {
    summary: "Score the relevance of every unit on the corpora and write it to a file",
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
      "work",
      ...COMPUTING,
    ],
    required: ["out"],
    examples: [
      "score smollm2 --language en --domain medical --out scores.safetensors",
      "score ./Llama-3-8B --domain notes.jsonl#body --units ffn,kv-group --memory 6G --out scores.safetensors",
    ],
  },
  select: {
    summary: "Select the units to remove from a scores file and write a plan",
    subject: { hint: "SCORES", help: "Scores file written by 'cusprun score'" },
    options: ["dimensions", ...CHOICE, "dtype", ...WRITING, ...RUNNING],
    required: ["reduce", "out"],
    examples: [
      "select scores.safetensors --reduce 25% --out plan.json",
      "select scores.safetensors --reduce 40% --layout masked --dimensions domain --out plan.json",
    ],
  },
  apply: {
    summary: "Remove the units in a plan from a model and write the expert; with corpora, also repair it",
    subject: MODEL,
    options: ["plan", ...CORPORA, ...WRITING, ...FORMATS, "general-share", "work", ...COMPUTING],
    required: ["plan", "out"],
    examples: [
      "apply smollm2 --plan plan.json --out experts/medical",
      "apply smollm2 --plan plan.json --language en --domain medical --out experts/repaired",
    ],
  },
  export: {
    summary: "Convert an expert, or any other model, to GGUF, ONNX or safetensors",
    subject: { hint: "EXPERT", help: "A folder written by 'cusprun prune' or 'cusprun apply', or any other model" },
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
    summary: "Load an expert in the installed runtimes and compare their output with cusprun's own forward pass",
    subject: { hint: "EXPERT", help: "A folder or GGUF file written by 'cusprun prune', 'apply' or 'export'" },
    options: ["against", "trust-remote-code", ...COMPUTING],
    required: [],
    notes: [
      "Runtimes: transformers (Python), llama.cpp (node-llama-cpp) and transformers.js.",
      "Exit code: 0 if at least one runtime is installed and all installed runtimes agree, 1 otherwise.",
    ],
    examples: [
      "verify experts/medical",
      "verify medical-q4_k_m.gguf --json",
      "verify medical-onnx --against experts/medical",
      "verify experts/ragged --trust-remote-code",
    ],
  },
  eval: {
    summary: "Evaluate a model on your own files, with confidence intervals; optionally compare it with another model",
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
    summary: "Compare pruning methods side by side: a table and plots over methods, budgets and seeds",
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
  cache: {
    summary: "List what cusprun keeps between runs, with its size and last use; with --prune, clean it up",
    subject: null,
    options: ["prune", "all", "cache-limit", "dry-run", ...RUNNING],
    required: [],
    notes: [
      "The folder is $CUSPRUN_CACHE, otherwise $XDG_CACHE_HOME/cusprun or ~/.cache/cusprun.",
      "--prune removes what ended processes left, work folders that no run will use again (of another version, or of a",
      "model that is gone), and then those that were not used for longest, until the rest is below the limit. Folders that",
      "a run is using stay, and so do models. A run that kept results there applies the limit at its end, without --prune.",
    ],
    examples: ["cache", "cache --prune --dry-run", "cache --prune --cache-limit 5GB", "cache --prune --all"],
  },
};

/** Names of all commands, in order. */
export const COMMAND_NAMES: readonly CommandName[] = Object.keys(COMMANDS) as CommandName[];
