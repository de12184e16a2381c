/**
 * @file Every option of the command line, once; the general ones are in `general-options.ts`. Flags, the YAML file, its
 * JSON schema and `--help` are all derived from `OPTIONS`.
 */

import { DIMENSIONS } from "../corpora/corpus.ts";
import { DEFAULT_DOCUMENTS, DEFAULT_HELD_OUT_DOCUMENTS, DEFAULT_MAX_TOKENS } from "../corpora/load.ts";
import { MATRIX_KINDS, UNIT_KINDS } from "../model/units.ts";
import { EXPORT_FORMATS, EXPORT_TYPES } from "../pipeline/export.ts";
import { EXPERT_FORMATS } from "../pipeline/writing-step.ts";
import { METHOD_NAMES } from "../selection/methods/index.ts";
import { ALLOCATIONS } from "../selection/plan.ts";
import { GENERAL_OPTIONS } from "./general-options.ts";
import type { Option, OptionType } from "./option.ts";
import type { OptionName } from "./settings.ts";

const COUNT: OptionType = { kind: "number", minimum: 1, maximum: 1_000_000_000, integer: true };
const SHARE: OptionType = { kind: "number", minimum: 0, maximum: 1, integer: false };

/** Every option, in the order of `--help`. */
export const OPTIONS: { readonly [Name in OptionName]-?: Option } = {
  language: {
    group: "Corpora",
    type: { kind: "texts" },
    hint: "NAME|FILE",
    help:
      "Language corpus: a preset; a file or a folder of text, JSONL, JSON, CSV or Parquet (FILE#FIELD); or a dataset on the " +
      "hub (OWNER/NAME); repeat to mix several",
  },
  domain: {
    group: "Corpora",
    type: { kind: "texts" },
    hint: "NAME|FILE",
    help: "Domain corpus: a preset, file, folder or dataset; repeat to mix several",
  },
  task: {
    group: "Corpora",
    type: { kind: "texts" },
    hint: "NAME|FILE",
    help: "Task corpus: a preset, file, folder or dataset; repeat to mix several",
  },
  dimensions: {
    group: "Corpora",
    type: { kind: "choices", of: DIMENSIONS },
    help: "Dimensions to select for (default: all dimensions in the scores file)",
  },
  documents: {
    group: "Corpora",
    type: COUNT,
    hint: "N",
    help: `Maximum number of calibration documents per corpus, used for scoring and repair (default: ${DEFAULT_DOCUMENTS})`,
  },
  "held-out": {
    group: "Corpora",
    type: COUNT,
    hint: "N",
    help:
      "Maximum number of held-out documents per corpus, used only to measure the result " +
      `(default: ${DEFAULT_HELD_OUT_DOCUMENTS})`,
  },
  "max-tokens": {
    group: "Corpora",
    type: COUNT,
    hint: "N",
    help: `Truncate each document to this many tokens (default: ${DEFAULT_MAX_TOKENS})`,
  },
  seed: {
    group: "Corpora",
    type: { kind: "number", minimum: 0, maximum: Number.MAX_SAFE_INTEGER, integer: true },
    hint: "N",
    help: "Seed for sampling documents (default: 0)",
  },
  seeds: {
    group: "Corpora",
    type: { kind: "counts" },
    hint: "N,…",
    help: "Repeat every run with documents sampled by each of these seeds, e.g. 0,1,2 (default: 0)",
  },
  "vocabulary-corpus": {
    group: "Corpora",
    type: { kind: "texts" },
    hint: "FILE",
    help: "More text, of any size, for counting the token frequencies of the first dimension; repeatable",
  },
  plan: { group: "Pruning", type: { kind: "text" }, hint: "FILE", help: "Plan written by 'cusprun select'" },
  reduce: {
    group: "Pruning",
    type: { kind: "text" },
    hint: "AMOUNT",
    help: "How much to remove: 25%, '25% of blocks', 30M (parameters) or 40MiB",
  },
  budgets: {
    group: "Pruning",
    type: { kind: "list" },
    hint: "AMOUNT,…",
    help: "Amounts to remove, separated by commas, e.g. '15% of blocks,25% of blocks'",
  },
  method: {
    group: "Pruning",
    type: { kind: "choice", of: METHOD_NAMES },
    hint: "METHOD",
    help: "Pruning method (default: cusprun)",
  },
  methods: {
    group: "Pruning",
    type: { kind: "choices", of: METHOD_NAMES },
    help: "Methods to compare, separated by commas (default: all that support the other options)",
  },
  layout: {
    group: "Pruning",
    type: { kind: "choice", of: ["uniform", "ragged", "masked"] },
    help:
      "uniform: the same smaller size in every layer; ragged: a separate size per layer; masked: removed units become zeros " +
      "(default: uniform, or masked with --granularity matrix)",
  },
  granularity: {
    group: "Pruning",
    type: { kind: "choice", of: ["structural", "matrix"] },
    help:
      "structural: whole units; matrix: single rows and columns of matrices as in the Cus-Prun paper, masked layout only " +
      "(default: structural)",
  },
  units: {
    group: "Pruning",
    type: { kind: "choices", of: UNIT_KINDS },
    help: "Kinds of units to prune, separated by commas (default: those of the method, usually ffn)",
  },
  matrices: {
    group: "Pruning",
    type: { kind: "choices", of: MATRIX_KINDS },
    help: "With --granularity matrix: the matrices to prune (default: all, without q and k if the model has QK norms)",
  },
  allocation: {
    group: "Pruning",
    type: { kind: "choice", of: ALLOCATIONS },
    help:
      "How the budget is divided among layers. layer: equally; global: by relevance; damage: by the measured damage of trial " +
      "cuts (default: depends on layout and method)",
  },
  floor: {
    group: "Pruning",
    type: SHARE,
    hint: "SHARE",
    help: "Minimum share of its units that every layer keeps (default: 0.3)",
  },
  snap: {
    group: "Pruning",
    type: COUNT,
    hint: "N",
    help: "Round FFN widths to multiples of N (default: 32; prune: 256 for a GGUF file in K-quants)",
  },
  aggregate: {
    group: "Pruning",
    type: { kind: "text" },
    hint: "HOW",
    help:
      "How a unit's relevance is aggregated over documents: mean, max or a quantile such as quantile:0.9 (default: mean, " +
      "or max with --granularity matrix)",
  },
  weights: {
    group: "Pruning",
    type: { kind: "numbers", of: DIMENSIONS },
    hint: "DIMENSION=N,…",
    help: "Relative weights of the dimensions, e.g. language=2,task=0.5; 0 ignores a dimension (default: 1 each)",
  },
  "keep-vocabulary": {
    group: "Pruning",
    type: { kind: "switch" },
    help: "Keep every token; the budget is met by removing other units only",
  },
  vocabulary: { group: "Pruning", type: COUNT, hint: "TOKENS", help: "Number of tokens to keep" },
  "vocabulary-coverage": {
    group: "Pruning",
    type: { kind: "text" },
    hint: "SHARE",
    help: "Keep enough tokens that this share of the corpora's tokens is not split into smaller ones, e.g. 99.9%",
  },
  maps: {
    group: "Pruning",
    type: { kind: "choice", of: ["first-order", "exact"] },
    help: "How the relevance of rotary pairs and of rows of q and k is computed (default: first-order)",
  },
  repair: {
    group: "Repair",
    type: { kind: "switch" },
    help: "Refit the remaining weights in closed form, without training; --no-repair skips it (default: depends on the method)",
  },
  "general-share": {
    group: "Repair",
    type: SHARE,
    hint: "SHARE",
    help: "Share of general text among the repair documents, to preserve abilities outside the corpora (default: 0)",
  },
  measure: {
    group: "Evaluation",
    type: { kind: "switch" },
    help: "Measure perplexity on held-out documents before and after; --no-measure skips it (default: on)",
  },
  tasks: {
    group: "Evaluation",
    type: { kind: "texts" },
    hint: "FILE",
    help: "Evaluation file (JSON Lines) or a folder of them; repeatable",
  },
  limit: { group: "Evaluation", type: COUNT, hint: "N", help: "Use only the first N items of each evaluation file" },
  against: {
    group: "Evaluation",
    type: { kind: "text" },
    hint: "MODEL",
    help:
      "Model to compare with. eval: item by item, e.g. the dense model; verify: the expert that an ONNX folder was " +
      "exported from",
  },
  window: {
    group: "Evaluation",
    type: COUNT,
    hint: "N",
    help: "Maximum input length in tokens (default: 1024 for texts and 2048 for questions, or the model's context if shorter)",
  },
  "trust-remote-code": {
    group: "Evaluation",
    type: { kind: "switch" },
    help: "Allow Python to run the code in the expert's folder, which experts with a ragged layout need",
  },
  to: {
    group: "Output",
    type: { kind: "choice", of: EXPORT_FORMATS },
    help:
      "gguf: a file for llama.cpp, Ollama and LM Studio; onnx: a folder for ONNX Runtime and transformers.js; safetensors: " +
      "a folder for transformers",
  },
  out: { group: "Output", type: { kind: "text" }, hint: "PATH", help: "Output file or folder" },
  overwrite: {
    group: "Output",
    type: { kind: "switch" },
    help: "Replace an output of an earlier run; anything else is never replaced",
  },
  keep: { group: "Output", type: { kind: "switch" }, help: "Keep the pruned models, in the folder 'experts' inside --out" },
  formats: {
    group: "Output",
    type: { kind: "choices", of: EXPERT_FORMATS },
    help: "Formats to write, separated by commas. hf: for transformers; gguf; onnx: for transformers.js (default: hf)",
  },
  type: {
    group: "Output",
    type: { kind: "choice", of: [...new Set(Object.values(EXPORT_TYPES).flat())] },
    hint: "TYPE",
    help: "Storage type of GGUF or ONNX tensors (default: the input's own types for GGUF, f32 for ONNX)",
  },
  dtype: {
    group: "Output",
    type: { kind: "choice", of: ["f32", "f16", "bf16"] },
    help:
      "Dtype of the safetensors output, in which byte budgets are counted (default: that of most of the input's weights, or " +
      "bf16 if it is quantised; select: bf16)",
  },
  "max-shard-size": {
    group: "Output",
    type: { kind: "text" },
    hint: "SIZE",
    help: "Maximum size of a safetensors file, e.g. 5GB (the default)",
  },
  ...GENERAL_OPTIONS,
};

/** Names of all options, in order. */
export const OPTION_NAMES: readonly OptionName[] = Object.keys(OPTIONS) as OptionName[];
