/**
 * @file A model and tasks → the model's score of every item. All items of all tasks go through the model together.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { wellFormed, type Tokenizer } from "../corpora/tokenizer.ts";
import type { JobOptions } from "../progress.ts";
import { continuePrompts } from "./generation.ts";
import { askGeneration, type GenerationRequest } from "./generation-requests.ts";
import type { ItemScore } from "./item-scores.ts";
import { sumLogLikelihoods } from "./likelihoods.ts";
import { RequestMaker, type LikelihoodRequest } from "./requests.ts";
import type { MultipleChoiceItem, PerplexityItem, Task, TaskItem } from "./task-file.ts";

/** The requests of an item, and how their log-likelihoods become its score. */
export interface AskedLikelihoods {
  readonly requests: readonly LikelihoodRequest[];
  readonly score: (logLikelihoods: readonly number[]) => ItemScore;
}

/** An item whose prompt is continued. */
interface AskedGeneration {
  readonly generation: GenerationRequest;
}

type Asked = AskedLikelihoods | AskedGeneration;

/** How tasks are measured. */
export interface MeasureTasksOptions extends JobOptions {
  /**
   * Longest input in tokens. Default: the model's number of positions, at most 2048 for a choice and 1024 for a text's
   * window.
   */
  readonly maxTokens?: number;
  /** Name of this stage in progress events. Default `evaluating`. */
  readonly stage?: string;
}

/**
 * Measures a model on tasks.
 * @returns a list of scores per task, in the order of its items.
 * @throws CusprunError `TASK_TOKENS` for an item without tokens to predict, or with too many, `USAGE` if the model has
 *   too few positions for `maxTokens`, the errors of `continuePrompts` for items of generation, and those of
 *   `Checkpoint.readFloat32`.
 */
export async function measureTasks(
  checkpoint: Checkpoint,
  tokenizer: Tokenizer,
  tasks: readonly Task[],
  options: MeasureTasksOptions = {},
): Promise<readonly (readonly ItemScore[])[]> {
  const { stage = "evaluating" } = options;
  const maker = new RequestMaker(tokenizer, checkpoint.config, options.maxTokens);
  const asked = tasks.map(({ items }) => items.map((item) => ask(item, maker, tokenizer)));
  const requests = asked.flat().flatMap((each) => ("requests" in each ? each.requests : []));
  const prompts = asked.flat().flatMap((each) => ("generation" in each ? [each.generation.prompt] : []));
  const likelihoods = await sumLogLikelihoods(checkpoint, requests, stage, options);
  const outputs = await continuePrompts(checkpoint, tokenizer, prompts, `${stage}: generating`, options);
  let [firstRequest, firstPrompt] = [0, 0];
  return asked.map((items) =>
    items.map((each) => {
      if ("generation" in each) return each.generation.score(outputs[firstPrompt++]!);
      const values = [...likelihoods.subarray(firstRequest, firstRequest + each.requests.length)];
      firstRequest += each.requests.length;
      return each.score(values);
    }),
  );
}

function ask(item: TaskItem, maker: RequestMaker, tokenizer: Tokenizer): Asked {
  return item.type === "generation" ? { generation: askGeneration(item, tokenizer) } : askLikelihoods(item, maker);
}

/** Makes the likelihood requests of an item. */
export function askLikelihoods(item: MultipleChoiceItem | PerplexityItem, maker: RequestMaker): AskedLikelihoods {
  switch (item.type) {
    case "multiple_choice":
      return askChoices(item, maker);
    case "perplexity":
      return askText(item, maker);
    default:
      throw item satisfies never;
  }
}

function askChoices(item: MultipleChoiceItem, maker: RequestMaker): AskedLikelihoods {
  const { id, choices, answer } = item;
  const characters = choices.map((choice) => Array.from(choice).length);
  const answerBytes = Buffer.byteLength(wellFormed(choices[answer]!));
  return {
    requests: maker.choices(item),
    score: (logLikelihoods) => ({ type: "multiple_choice", id, logLikelihoods, characters, answerBytes, answer }),
  };
}

function askText(item: PerplexityItem, maker: RequestMaker): AskedLikelihoods {
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
