/**
 * @file A model and tasks → what the model gives every item. All items of all tasks go through the model together.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { wellFormed, type Tokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import { sumLogLikelihoods } from "./likelihoods.ts";
import { RequestMaker, type LikelihoodRequest } from "./requests.ts";
import type { MultipleChoiceItem, PerplexityItem, Task, TaskItem } from "./task-file.ts";

/** What a model gives a multiple choice item. */
export interface ChoiceScore {
  readonly type: "multiple_choice";
  readonly id: string;
  /** Of each choice, in nats. */
  readonly logLikelihoods: readonly number[];
  /** Length of each choice in characters (code points), without the space before it. */
  readonly characters: readonly number[];
  /** UTF-8 bytes of the right choice, without the space before it. */
  readonly answerBytes: number;
  readonly answer: number;
}

/** What a model gives a text. */
export interface TextScore {
  readonly type: "perplexity";
  readonly id: string;
  /** Of the whole text, in nats. */
  readonly logLikelihood: number;
  /** Predicted tokens. */
  readonly tokens: number;
  /** UTF-8 bytes of the text. */
  readonly bytes: number;
}

/** What a model gives an item. */
export type ItemScore = ChoiceScore | TextScore;

/** An item whose requests were made, and how their log-likelihoods become its score. */
interface Asked {
  readonly requests: readonly LikelihoodRequest[];
  readonly score: (logLikelihoods: readonly number[]) => ItemScore;
}

/** How tasks are measured. */
export interface MeasureTasksOptions extends JobOptions {
  /** Longest input in tokens. Default: what the model has positions for, at most 2048 for a choice and 1024 for a text's window. */
  readonly maxTokens?: number;
  /** What progress events call this. Default `evaluating`. */
  readonly stage?: string;
}

/**
 * Measures a model on tasks.
 * @returns a list of scores per task, in the order of its items.
 * @throws CusprunError `TASK_UNSUPPORTED` for a task of generation, `TASK_TOKENS` for an item that cannot be put to the model, `USAGE`
 *   where the model has too few positions for `maxTokens`, and what `Checkpoint.readFloat32` throws.
 */
export async function measureTasks(
  checkpoint: Checkpoint,
  tokenizer: Tokenizer,
  tasks: readonly Task[],
  options: MeasureTasksOptions = {},
): Promise<readonly (readonly ItemScore[])[]> {
  checkMeasurable(tasks);
  const maker = new RequestMaker(tokenizer, checkpoint.config, options.maxTokens);
  const asked = tasks.map(({ items }) => items.map((item) => ask(item, maker)));
  const requests = asked.flat().flatMap((each) => each.requests);
  const likelihoods = await sumLogLikelihoods(checkpoint, requests, options.stage ?? "evaluating", options);
  let first = 0;
  return asked.map((items) =>
    items.map(({ requests: own, score }) => {
      const values = [...likelihoods.subarray(first, first + own.length)];
      first += own.length;
      return score(values);
    }),
  );
}

/**
 * Checks before any work that tasks can be measured.
 * @throws CusprunError `TASK_UNSUPPORTED` for a task of generation.
 */
export function checkMeasurable(tasks: readonly Task[]): void {
  for (const { path, type } of tasks) {
    if (type !== "generation") continue;
    throw new CusprunError("TASK_UNSUPPORTED", {
      where: path,
      found: "items of type 'generation'",
      expected: "multiple_choice or perplexity: generation is not supported yet",
      remedy: "Leave the file out",
    });
  }
}

function ask(item: TaskItem, maker: RequestMaker): Asked {
  switch (item.type) {
    case "multiple_choice":
      return askChoices(item, maker);
    case "perplexity":
      return askText(item, maker);
    case "generation":
      throw new Error("generation is refused by checkMeasurable");
    default:
      throw item satisfies never;
  }
}

function askChoices(item: MultipleChoiceItem, maker: RequestMaker): Asked {
  const { id, choices, answer } = item;
  const characters = choices.map((choice) => Array.from(choice).length);
  const answerBytes = Buffer.byteLength(wellFormed(choices[answer]!));
  return {
    requests: maker.choices(item),
    score: (logLikelihoods) => ({ type: "multiple_choice", id, logLikelihoods, characters, answerBytes, answer }),
  };
}

function askText(item: PerplexityItem, maker: RequestMaker): Asked {
  const requests = maker.windows(item);
  const tokens = requests.reduce((sum, { targets }) => sum + targets.length, 0);
  const bytes = Buffer.byteLength(wellFormed(item.text));
  return {
    requests,
    score: (values) => ({
      type: "perplexity",
      id: item.id,
      logLikelihood: values.reduce((sum, value) => sum + value, 0),
      tokens,
      bytes,
    }),
  };
}
