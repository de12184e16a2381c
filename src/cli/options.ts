/**
 * @file Every option of the command line, once: flags, the YAML file, its JSON schema, `--help` and the types are all made from
 * `OPTIONS`.
 */

import { DEVICES, type Device } from "../device.ts";
import { DIMENSIONS, type Dimension } from "../corpora/corpus.ts";
import type { MapChange } from "../model/block-energies.ts";
import { EXPORT_FORMATS, EXPORT_TYPES, type ExportFormat, type ExportType } from "../pipeline/export.ts";
import { EXPERT_FORMATS, type ExpertFormat } from "../pipeline/writing-step.ts";
import { METHOD_NAMES, type MethodName } from "../selection/methods/index.ts";
import { ALLOCATIONS, type Allocation, type Layout } from "../selection/plan.ts";
import { MATRIX_KINDS, UNIT_KINDS, type MatrixKind, type UnitKind } from "../model/units.ts";

/** What a user can set, by flag or in the YAML file. Absent is "not said"; defaults belong to the functions that are called. */
export interface Settings {
  readonly language?: readonly string[];
  readonly domain?: readonly string[];
  readonly task?: readonly string[];
  readonly documents?: number;
  readonly "held-out"?: number;
  readonly "max-tokens"?: number;
  readonly seed?: number;
  readonly reduce?: string;
  readonly layout?: Layout;
  readonly granularity?: "structural" | "matrix";
  readonly dimensions?: readonly Dimension[];
  readonly units?: readonly UnitKind[];
  readonly matrices?: readonly MatrixKind[];
  readonly allocation?: Allocation;
  readonly method?: MethodName;
  readonly methods?: readonly MethodName[];
  readonly budgets?: readonly string[];
  readonly seeds?: readonly number[];
  readonly keep?: boolean;
  readonly floor?: number;
  readonly snap?: number;
  readonly aggregate?: string;
  readonly weights?: Readonly<Record<string, number>>;
  readonly "keep-vocabulary"?: boolean;
  readonly vocabulary?: number;
  readonly "vocabulary-coverage"?: string;
  readonly "vocabulary-corpus"?: readonly string[];
  readonly dtype?: "f32" | "f16" | "bf16";
  readonly "max-shard-size"?: string;
  readonly out?: string;
  readonly overwrite?: boolean;
  readonly work?: string;
  readonly memory?: string;
  readonly device?: Device;
  readonly maps?: MapChange;
  readonly repair?: boolean;
  readonly "general-share"?: number;
  readonly measure?: boolean;
  readonly formats?: readonly ExpertFormat[];
  readonly plan?: string;
  readonly to?: ExportFormat;
  readonly type?: ExportType;
  readonly tasks?: readonly string[];
  readonly limit?: number;
  readonly against?: string;
  readonly window?: number;
  readonly "trust-remote-code"?: boolean;
  readonly config?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Name of an option: the flag without its dashes, and the key in the YAML file. */
export type OptionName = keyof Settings;

/** What an option's value is. Decides how a flag's text is read and what the YAML file may hold. */
export type OptionType =
  | { readonly kind: "text" }
  /** Repeatable flag, one value each. */
  | { readonly kind: "texts" }
  | { readonly kind: "choice"; readonly of: readonly string[] }
  /** Values parted by commas. */
  | { readonly kind: "choices"; readonly of: readonly string[] }
  /** Any texts parted by commas. */
  | { readonly kind: "list" }
  | { readonly kind: "number"; readonly minimum: number; readonly maximum: number; readonly integer: boolean }
  /** Whole numbers from 0 parted by commas. */
  | { readonly kind: "counts" }
  /** `name=number` pairs parted by commas. */
  | { readonly kind: "numbers"; readonly of: readonly string[] }
  /** Present or absent; `--no-NAME` says false. */
  | { readonly kind: "switch" };

/** One option. */
export interface Option {
  readonly type: OptionType;
  /** Stands for the value in `--help`. */
  readonly hint?: string;
  /** One sentence without a full stop. */
  readonly help: string;
  /** Heading in `--help`. */
  readonly group: "What to measure" | "What to keep" | "How much to remove" | "What to write" | "Running";
}

const COUNT: OptionType = { kind: "number", minimum: 1, maximum: 1_000_000_000, integer: true };

/** Every option, in the order of `--help`. */
export const OPTIONS: { readonly [Name in OptionName]-?: Option } = {
  language: {
    type: { kind: "texts" },
    hint: "NAME|FILE",
    group: "What to keep",
    help: "Language: a preset, or a JSONL, text or Parquet file (FILE#field); repeat to mix",
  },
  domain: {
    type: { kind: "texts" },
    hint: "NAME|FILE",
    group: "What to keep",
    help: "Domain: a preset or a file; repeat to mix",
  },
  task: { type: { kind: "texts" }, hint: "NAME|FILE", group: "What to keep", help: "Task: a preset or a file; repeat to mix" },
  documents: {
    type: COUNT,
    hint: "N",
    group: "What to keep",
    help: "Most documents of each corpus that choose what goes and mend what stays",
  },
  "held-out": {
    type: COUNT,
    hint: "N",
    group: "What to keep",
    help: "Most documents of each corpus that choose nothing and judge the result",
  },
  "max-tokens": { type: COUNT, hint: "N", group: "What to keep", help: "Most tokens taken from each document" },
  seed: {
    type: { kind: "number", minimum: 0, maximum: Number.MAX_SAFE_INTEGER, integer: true },
    hint: "N",
    group: "What to keep",
    help: "Another seed takes other documents",
  },
  seeds: {
    type: { kind: "counts" },
    hint: "N,…",
    group: "What to keep",
    help: "Every run once with the documents of each of these seeds, e.g. 0,1,2; 0 where not said",
  },
  dimensions: {
    type: { kind: "choices", of: DIMENSIONS },
    group: "What to keep",
    help: "Dimensions of the expert; all that were scored where not said",
  },
  reduce: {
    type: { kind: "text" },
    hint: "AMOUNT",
    group: "How much to remove",
    help: "25%, '25% of blocks', 30M (parameters) or 40MiB",
  },
  layout: {
    type: { kind: "choice", of: ["uniform", "ragged", "masked"] },
    group: "How much to remove",
    help: "uniform: every layer the same smaller size; ragged: each its own; masked: zeros",
  },
  granularity: {
    type: { kind: "choice", of: ["structural", "matrix"] },
    group: "How much to remove",
    help: "matrix: the paper's single rows and columns, masked only",
  },
  units: {
    type: { kind: "choices", of: UNIT_KINDS },
    group: "How much to remove",
    help: "Kinds of unit that may go, parted by commas",
  },
  matrices: {
    type: { kind: "choices", of: MATRIX_KINDS },
    group: "How much to remove",
    help: "With --granularity matrix: matrices that may lose rows or columns",
  },
  allocation: {
    type: { kind: "choice", of: ALLOCATIONS },
    group: "How much to remove",
    help: "Alike in every layer, by relevance, or by the damage of trial cuts",
  },
  method: {
    type: { kind: "choice", of: METHOD_NAMES },
    hint: "METHOD",
    group: "How much to remove",
    help: "Rule that chooses",
  },
  methods: {
    type: { kind: "choices", of: METHOD_NAMES },
    group: "How much to remove",
    help: "Rules to compare, parted by commas; all that can make what is chosen where not said",
  },
  budgets: {
    type: { kind: "list" },
    hint: "AMOUNT,…",
    group: "How much to remove",
    help: "Amounts to remove, parted by commas, e.g. '15% of blocks,25% of blocks'",
  },
  floor: {
    type: { kind: "number", minimum: 0, maximum: 1, integer: false },
    hint: "SHARE",
    group: "How much to remove",
    help: "Share of its units that every layer keeps at least",
  },
  snap: {
    type: COUNT,
    hint: "N",
    group: "How much to remove",
    help: "FFN widths are multiples of this: 32, or 256 for a GGUF in K-quants, where not said",
  },
  aggregate: {
    type: { kind: "text" },
    hint: "HOW",
    group: "How much to remove",
    help: "Relevance over a corpus' documents: mean, max or a quantile such as quantile:0.9",
  },
  weights: {
    type: { kind: "numbers", of: DIMENSIONS },
    hint: "DIMENSION=N,…",
    group: "How much to remove",
    help: "How much a dimension counts against the others",
  },
  "keep-vocabulary": {
    type: { kind: "switch" },
    group: "How much to remove",
    help: "Every token stays, and the budget is met by other units alone",
  },
  vocabulary: { type: COUNT, hint: "TOKENS", group: "How much to remove", help: "So many tokens stay" },
  "vocabulary-coverage": {
    type: { kind: "text" },
    hint: "SHARE",
    group: "How much to remove",
    help: "So many tokens stay that this share of the corpora's tokens is not split, e.g. 99.9%",
  },
  "vocabulary-corpus": {
    type: { kind: "texts" },
    hint: "FILE",
    group: "What to keep",
    help: "More text, of any size, whose tokens count for the first dimension; repeat for more",
  },
  out: { type: { kind: "text" }, hint: "PATH", group: "What to write", help: "Where the result is written" },
  overwrite: { type: { kind: "switch" }, group: "What to write", help: "Replace what is there" },
  keep: { type: { kind: "switch" }, group: "What to write", help: "Keep the experts, in the folder experts below --out" },
  formats: {
    type: { kind: "choices", of: EXPERT_FORMATS },
    group: "What to write",
    help: "What the folder holds: hf for transformers (default), gguf, onnx for transformers.js",
  },
  dtype: {
    type: { kind: "choice", of: ["f32", "f16", "bf16"] },
    group: "What to write",
    help: "Dtype of safetensors; as the input has them where not said",
  },
  "max-shard-size": { type: { kind: "text" }, hint: "SIZE", group: "What to write", help: "Largest weight file, e.g. 5GB" },
  maps: {
    type: { kind: "choice", of: ["first-order", "exact"] },
    group: "What to keep",
    help: "How relevances of rotary pairs and rows of q and k are computed",
  },
  repair: {
    type: { kind: "switch" },
    group: "What to write",
    help: "Fit the weights that stay anew in closed form (--no-repair leaves it out)",
  },
  "general-share": {
    type: { kind: "number", minimum: 0, maximum: 1, integer: false },
    hint: "SHARE",
    group: "What to write",
    help: "Share of general text in repair, to keep more than the expert's own",
  },
  measure: {
    type: { kind: "switch" },
    group: "What to write",
    help: "Measure perplexity before and after (--no-measure leaves it out)",
  },
  plan: { type: { kind: "text" }, hint: "FILE", group: "What to write", help: "Plan that 'cusprun select' wrote" },
  to: {
    type: { kind: "choice", of: EXPORT_FORMATS },
    group: "What to write",
    help: "A GGUF file, a folder for ONNX Runtime and transformers.js, or one for transformers",
  },
  type: {
    type: { kind: "choice", of: [...new Set(Object.values(EXPORT_TYPES).flat())] },
    hint: "TYPE",
    group: "What to write",
    help: "How tensors are stored; where not said in GGUF as in the input, in ONNX f32",
  },
  tasks: {
    type: { kind: "texts" },
    hint: "FILE",
    group: "What to measure",
    help: "Evaluation file in JSON Lines, or a folder of them; repeat for more",
  },
  limit: { type: COUNT, hint: "N", group: "What to measure", help: "Most items of each file: its first ones" },
  against: {
    type: { kind: "text" },
    hint: "MODEL",
    group: "What to measure",
    help: "Another model, such as the dense one, to compare with item by item",
  },
  "trust-remote-code": {
    type: { kind: "switch" },
    group: "What to measure",
    help: "Let Python run the code in the folder, which layers of unlike size need",
  },
  window: {
    type: COUNT,
    hint: "N",
    group: "What to measure",
    help: "Longest input in tokens; where not said at most 1024 of a text, 2048 of a question",
  },
  config: { type: { kind: "text" }, hint: "FILE", group: "Running", help: "YAML file with these options; flags count more" },
  work: {
    type: { kind: "text" },
    hint: "DIR",
    group: "Running",
    help: "Folder of the scores, so that a finished step is not done again; in the user's cache where not said",
  },
  memory: {
    type: { kind: "text" },
    hint: "SIZE",
    group: "Running",
    help: "Most memory to take, e.g. 6G (6 GiB) or 6GB; three quarters of the machine's where not said",
  },
  device: {
    type: { kind: "choice", of: DEVICES },
    hint: "NAME",
    group: "Running",
    help: "What computes the layers; what it cannot do, and everything where not said, the CPU does",
  },
  json: { type: { kind: "switch" }, group: "Running", help: "Print the result as one JSON object, and errors too" },
  quiet: { type: { kind: "switch" }, group: "Running", help: "Show no progress" },
};

/** Names of all options, in order. */
export const OPTION_NAMES: readonly OptionName[] = Object.keys(OPTIONS) as OptionName[];
