/**
 * @file Evaluation as one function: a model, optionally another one to compare with, and evaluation files → a report,
 * optionally saved to a file.
 */

import { writeFile } from "node:fs/promises";
import type { ItemScore } from "../evaluation/item-scores.ts";
import { measureTasks } from "../evaluation/measure-tasks.ts";
import { summarizeTask, type TaskResult } from "../evaluation/summarize-task.ts";
import { readTasks, type Task } from "../evaluation/task-file.ts";
import { withOutputFile, type OutputPlace } from "../output-place.ts";
import type { JobOptions } from "../progress.ts";
import { defined } from "./defined.ts";
import { protectedInputs } from "./inputs.ts";
import { jobOptions } from "./job-options.ts";
import { openTokenizer, withModel } from "./model.ts";
import { OUTPUT_FILES } from "./output-file.ts";

/** Which models are evaluated on which files. */
export interface EvaluateOptions extends JobOptions {
  /** Folder, GGUF file, Hugging Face id or catalog name. */
  readonly model: string;
  /** Evaluation files, or folders of them. */
  readonly tasks: readonly string[];
  /** Most items of each file: its first ones. Default all. */
  readonly limit?: number;
  /** Another model, such as the dense one, for paired differences. */
  readonly against?: string;
  /**
   * Longest input in tokens. Default: the model's number of positions, at most 2048 for a choice and 1024 for a text's
   * window.
   */
  readonly maxTokens?: number;
  /** File for the report with the scores of every item. */
  readonly out?: string;
  readonly overwrite?: boolean;
}

/** The figures of an evaluation. */
export interface EvaluationReport {
  readonly model: string;
  readonly against: string | null;
  readonly tasks: readonly TaskResult[];
  /** The file with the scores of every item, or null if none was requested. */
  readonly out: string | null;
}

/** The scores of a model: a list per task. */
export type ModelScores = readonly (readonly ItemScore[])[];

/**
 * Evaluates a model on files, all in one pass through its layers.
 * @throws CusprunError `OUTPUT_EXISTS`, the errors of `readTasks` and `measureTasks`, and those of opening the models
 *   and writing.
 * @example
 * ```ts
 * import { evaluateModel } from "cusprun";
 *
 * const { tasks } = await evaluateModel({
 *   model: "experts/smollm2-en-medical",
 *   against: "smollm2", // the dense model, for paired differences
 *   tasks: ["tasks/anatomy.jsonl"],
 * });
 * for (const { name, figures, differences } of tasks) {
 *   console.log(name, figures.accuracy?.value, figures.accuracy?.interval, differences?.accuracy?.pValue);
 * }
 * ```
 */
export async function evaluateModel(options: EvaluateOptions): Promise<EvaluationReport> {
  const { out, overwrite = false } = options;
  if (out === undefined) return evaluateTo(null, options);
  const reserving = { ...OUTPUT_FILES.evaluation, overwrite, inputs: protectedInputs(options) };
  return withOutputFile(out, reserving, (place) => evaluateTo(place, options));
}

async function evaluateTo(place: OutputPlace | null, options: EvaluateOptions): Promise<EvaluationReport> {
  const { model, against = null } = options;
  const tasks = await readTasks(options.tasks, options.limit);
  const scores = await scoreTasks(model, tasks, against === null ? "evaluating" : "evaluating the model", options);
  const others = against === null ? null : await scoreTasks(against, tasks, "evaluating the other model", options);
  const results = tasks.map((task, index) => summarizeTask(task, scores[index]!, others?.[index] ?? null));
  const report: EvaluationReport = { model, against, tasks: results, out: place?.path ?? null };
  await place?.write((path) => writeReport(path, report, scores, others));
  return report;
}

/**
 * Scores every item of tasks.
 * @param stage name of this stage in progress events.
 * @throws CusprunError the errors of `measureTasks` and of opening the model.
 */
export function scoreTasks(
  model: string,
  tasks: readonly Task[],
  stage: string,
  options: Pick<EvaluateOptions, "maxTokens" | keyof JobOptions>,
): Promise<ModelScores> {
  const { maxTokens } = options;
  const job = jobOptions(options);
  return withModel(model, job, async (checkpoint) =>
    measureTasks(checkpoint, await openTokenizer(checkpoint), tasks, { ...job, ...defined({ maxTokens }), stage }),
  );
}

async function writeReport(
  path: string,
  report: EvaluationReport,
  scores: ModelScores,
  others: ModelScores | null,
): Promise<void> {
  const { out: _, tasks, ...rest } = report;
  const detailed = {
    format: "cusprun-evaluation-1",
    ...rest,
    tasks: tasks.map((task, index) => ({
      ...task,
      scores: scores[index],
      ...(others === null ? {} : { scoresAgainst: others[index] }),
    })),
  };
  await writeFile(path, `${JSON.stringify(detailed, null, 1)}\n`);
}
