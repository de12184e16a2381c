/**
 * @file An evaluation file → its items: JSON Lines, one item per line, of type `multiple_choice`, `perplexity` or
 * `generation` (docs/evaluation.md lists the fields). Files come from anywhere: every field is checked before a model
 * is opened.
 */

import { readdir, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";
import { readRecords } from "../corpora/read-jsonl.ts";
import { asReadError } from "../system-errors.ts";

/** Types of item, each measured in its own way. */
export const TASK_TYPES = ["multiple_choice", "perplexity", "generation"] as const;
/** Type of the items of a file. */
export type TaskType = (typeof TASK_TYPES)[number];

/** How a generated text is compared with its references. */
export const GENERATION_METRICS = ["exact_match", "f1", "rougeL"] as const;
/** Metric of a generation item. */
export type GenerationMetric = (typeof GENERATION_METRICS)[number];

/** Parts of a generated text that can be compared with the references; see `extractAnswer`. */
export const EXTRACTS = ["last_number", "first_word", "first_phrase", "first_line", "all"] as const;
/** The name of a part of a generated text. */
export type Extract = (typeof EXTRACTS)[number];

/**
 * Most choices of an item; each is a document of its own. The longest list in a known benchmark has about a hundred
 * labels.
 */
const MAX_CHOICES = 1000;
/** Most items of a file, all of which are in memory at once. The largest known benchmarks have some ten thousand. */
const MAX_ITEMS = 200_000;
/** Most tokens that an item may request: the length of long answers in known benchmarks. */
const MAX_GENERATED_TOKENS = 8192;
const EXTENSIONS = [".jsonl", ".ndjson"];

/** The fields of every item. */
interface ItemBase {
  /** Its id in the file, or its line number. */
  readonly id: string;
  /** `file.jsonl:12`, for messages. */
  readonly source: string;
}

/** A question with choices; the model takes the one that it finds most likely after `context` and a space. */
export interface MultipleChoiceItem extends ItemBase {
  readonly type: "multiple_choice";
  readonly context: string;
  readonly choices: readonly string[];
  /** Index of the right choice. */
  readonly answer: number;
}

/** A text to predict. */
export interface PerplexityItem extends ItemBase {
  readonly type: "perplexity";
  readonly text: string;
}

/** A prompt that the model continues. */
export interface GenerationItem extends ItemBase {
  readonly type: "generation";
  readonly prompt: string;
  readonly references: readonly string[];
  readonly metric: GenerationMetric;
  /** Default: by the metric and the references. */
  readonly extract?: Extract;
  /** Most tokens that are generated. Default: by the extracted part. */
  readonly maxTokens?: number;
}

/** An item of an evaluation file. */
export type TaskItem = MultipleChoiceItem | PerplexityItem | GenerationItem;

/** An evaluation file. */
export interface Task {
  /** The file's name without its extension. */
  readonly name: string;
  readonly path: string;
  readonly type: TaskType;
  /** At least one, all of the task's type. */
  readonly items: readonly TaskItem[];
}

/**
 * Reads evaluation files; a folder means every JSON Lines file in it, in the order of their names.
 * @param limit most items of each file: its first ones.
 * @throws CusprunError `CORPUS_NOT_FOUND`, `CORPUS_FORMAT` for a file that is not JSON Lines, and the errors of
 *   `readTask`.
 */
export async function readTasks(paths: readonly string[], limit?: number): Promise<readonly Task[]> {
  const files: string[] = [];
  for (const path of paths) files.push(...(await filesOf(path)));
  const tasks: Task[] = [];
  for (const file of new Set(files)) tasks.push(await readTask(file, limit));
  return tasks;
}

/**
 * Reads one evaluation file.
 * @param limit most items: the file's first ones. The lines after them are not read.
 * @throws CusprunError `TASK_TYPE` for an unknown type or one that differs from the first line's, `TASK_FIELD` for a
 *   field that is missing, has the wrong type or holds an unknown name, `TASK_ANSWER` for an index without a choice,
 *   `TASK_METRIC` for an unknown metric, `CORPUS_EMPTY` for a file without items, `CORPUS_TOO_LARGE`, and the errors of
 *   `readRecords`; all except `CORPUS_EMPTY` name the line.
 */
export async function readTask(path: string, limit: number = Number.POSITIVE_INFINITY): Promise<Task> {
  const items: TaskItem[] = [];
  for await (const { value: record, source } of readRecords(path)) {
    if (items.length === MAX_ITEMS) {
      const found = `more than ${MAX_ITEMS} items`;
      throw new CusprunError("CORPUS_TOO_LARGE", {
        where: source,
        found,
        expected: "fewer",
        remedy: "Split the file, or pass --limit",
      });
    }
    const item = parseItem(record, source, items.length + 1);
    const type = items[0]?.type ?? item.type;
    if (item.type !== type) {
      const remedy = "Put items of each type into a file of their own";
      throw new CusprunError("TASK_TYPE", {
        where: source,
        found: `the type '${item.type}'`,
        expected: `'${type}', as in the lines before`,
        remedy,
      });
    }
    items.push(item);
    if (items.length >= limit) break;
  }
  const [first] = items;
  if (first === undefined) {
    throw new CusprunError("CORPUS_EMPTY", {
      where: path,
      found: "no item",
      expected: "at least one",
      remedy: "Pass a file that holds evaluation items, one JSON object per line",
    });
  }
  return { name: basename(path, extname(path)), path, type: first.type, items };
}

async function filesOf(path: string): Promise<string[]> {
  const isTaskFile = (name: string): boolean => EXTENSIONS.includes(extname(name).toLowerCase());
  let isFolder: boolean;
  let files: string[];
  try {
    isFolder = (await stat(path)).isDirectory();
    files = (isFolder ? (await readdir(path)).toSorted().map((name) => join(path, name)) : [path]).filter(isTaskFile);
  } catch (error) {
    throw asReadError(error, "CORPUS_NOT_FOUND", path, "an evaluation file, or a folder of them");
  }
  if (files.length > 0) return files;
  throw new CusprunError("CORPUS_FORMAT", {
    where: path,
    found: isFolder ? `no ${EXTENSIONS.join(" or ")} file` : `the extension '${extname(path)}'`,
    expected: `a file in JSON Lines (${EXTENSIONS.join(", ")})`,
    remedy: "Write one item per line, as docs/evaluation.md shows",
  });
}

function parseItem(record: Readonly<Record<string, unknown>>, source: string, number: number): TaskItem {
  const id = typeof record["id"] === "string" ? record["id"] : String(number);
  const type = oneOf(record, "type", TASK_TYPES, source, "TASK_TYPE");
  switch (type) {
    case "multiple_choice": {
      const choices = texts(record, "choices", source, 2);
      return { type, id, source, context: text(record, "context", source), choices, answer: answerOf(record, choices, source) };
    }
    case "perplexity":
      return { type, id, source, text: filled(text(record, "text", source), "text", source) };
    case "generation": {
      const prompt = filled(text(record, "prompt", source), "prompt", source);
      const metric = oneOf(record, "metric", GENERATION_METRICS, source, "TASK_METRIC");
      const references = texts(record, "references", source, 1);
      return { type, id, source, prompt, references, metric, ...generationOptions(record, source) };
    }
    default:
      throw type satisfies never;
  }
}

/** The optional fields of a generation item. */
function generationOptions(
  record: Readonly<Record<string, unknown>>,
  source: string,
): Pick<GenerationItem, "extract" | "maxTokens"> {
  const { extract, max_tokens: maxTokens } = record;
  if (maxTokens !== undefined && !isTokenCount(maxTokens)) {
    throw fieldError(source, `${showValue(maxTokens)} in 'max_tokens'`, `a whole number from 1 to ${MAX_GENERATED_TOKENS}`);
  }
  return {
    ...(extract === undefined ? {} : { extract: oneOf(record, "extract", EXTRACTS, source, "TASK_FIELD") }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
}

function isTokenCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_GENERATED_TOKENS;
}

function text(record: Readonly<Record<string, unknown>>, field: string, source: string): string {
  const value = record[field];
  if (typeof value === "string") return value;
  throw fieldError(source, `${showValue(value)} in '${field}'`, "a string");
}

function filled(value: string, field: string, source: string): string {
  if (value !== "") return value;
  throw fieldError(source, `an empty '${field}'`, "some text");
}

function texts(record: Readonly<Record<string, unknown>>, field: string, source: string, fewest: number): readonly string[] {
  const values: unknown = record[field];
  if (!Array.isArray(values)) throw fieldError(source, `${showValue(values)} in '${field}'`, "a list of strings");
  if (values.length < fewest || values.length > MAX_CHOICES) {
    throw fieldError(source, `${values.length} entries in '${field}'`, `${fewest} to ${MAX_CHOICES}`);
  }
  return values.map((value: unknown, index) => {
    if (typeof value !== "string") throw fieldError(source, `${showValue(value)} in '${field}[${index}]'`, "a string");
    return filled(value, `${field}[${index}]`, source);
  });
}

function answerOf(record: Readonly<Record<string, unknown>>, choices: readonly string[], source: string): number {
  const answer = record["answer"];
  if (typeof answer !== "number") throw fieldError(source, `${showValue(answer)} in 'answer'`, "the right choice's index");
  if (Number.isInteger(answer) && answer >= 0 && answer < choices.length) return answer;
  throw new CusprunError("TASK_ANSWER", {
    where: source,
    found: `the answer ${answer}`,
    expected: `an index from 0 to ${choices.length - 1}`,
    remedy: "Count the choices from 0",
  });
}

function oneOf<T extends string>(
  record: Readonly<Record<string, unknown>>,
  field: string,
  known: readonly T[],
  source: string,
  code: "TASK_TYPE" | "TASK_METRIC" | "TASK_FIELD",
): T {
  const value = record[field];
  if (value === undefined) throw fieldError(source, `nothing in '${field}'`, known.join(", "));
  const found = known.find((name) => name === value);
  if (found !== undefined) return found;
  throw new CusprunError(code, {
    where: source,
    found: `${showValue(value)} in '${field}'`,
    expected: known.join(", "),
    remedy: "Correct the field",
  });
}

function fieldError(source: string, found: string, expected: string): CusprunError {
  return new CusprunError("TASK_FIELD", {
    where: source,
    found,
    expected,
    remedy: "Correct the line; docs/evaluation.md lists the fields",
  });
}
