/**
 * @file Evaluation against EleutherAI's lm-evaluation-harness, run on the same model file and the same items
 * (make_eval_goldens.py). The goldens contain ids and numbers; the texts, some of them share-alike, are read from the
 * data next to the repository.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { measureTasks } from "../../src/evaluation/measure-tasks.ts";
import { summarizeTask, type TaskResult } from "../../src/evaluation/summarize-task.ts";
import { readTask, type Task } from "../../src/evaluation/task-file.ts";
import { openTokenizer } from "../../src/pipeline/model.ts";
import { realModel, type RealModelName } from "../support/real-models.ts";

const DATA = join(import.meta.dirname, "..", "..", "..", "shared", "data", "eval", "dev");
const FIXTURES = join(import.meta.dirname, "..", "fixtures", "real");

/**
 * Both compute in f32 in a different order; the worst of 392 choices differed by 9e-6, and other processors sum
 * differently.
 */
const TOLERANCE = 1e-4;

interface Goldens {
  readonly maxLength: number;
  readonly multipleChoice: Readonly<
    Record<
      string,
      {
        readonly acc: number;
        readonly accStderr: number;
        readonly accNorm: number;
        readonly items: readonly { readonly id: string; readonly logLikelihoods: readonly number[] }[];
      }
    >
  >;
  readonly perplexity: Readonly<
    Record<
      string,
      { readonly bitsPerByte: number; readonly items: readonly { readonly id: string; readonly logLikelihood: number }[] }
    >
  >;
}

/** Gemma's tokenizer adds BOS, SmolLM2's does not. */
const MODELS: readonly {
  readonly name: RealModelName;
  readonly choices: readonly string[];
  readonly texts: readonly string[];
}[] = [
  { name: "smollm2", choices: ["mc_arc_easy_en", "mc_openbookqa_en"], texts: ["ppl_law_de", "ppl_wikitext2_en"] },
  { name: "gemma3", choices: ["mc_openbookqa_en", "mc_xcopa_zh"], texts: [] },
];

describe.each(MODELS)("$name under the lm-evaluation-harness and here", ({ name: model, choices, texts }) => {
  let goldens: Goldens;
  let checkpoint: Checkpoint;
  const results = new Map<string, { task: Task; result: TaskResult; scores: Awaited<ReturnType<typeof measureTasks>>[number] }>();

  beforeAll(async () => {
    goldens = JSON.parse(await readFile(join(FIXTURES, `eval-${model}.json`), "utf8")) as Goldens;
    const tasks: Task[] = [];
    for (const [name, { items }] of Object.entries({ ...goldens.multipleChoice, ...goldens.perplexity })) {
      tasks.push(await readTask(join(DATA, `${name}.jsonl`), items.length));
    }
    checkpoint = await openCheckpoint(await realModel(model));
    const scores = await measureTasks(checkpoint, await openTokenizer(checkpoint), tasks, { maxTokens: goldens.maxLength });
    for (const [index, task] of tasks.entries()) {
      results.set(task.name, { task, scores: scores[index]!, result: summarizeTask(task, scores[index]!, null) });
    }
  });
  afterAll(() => checkpoint.close());

  test.each(choices)("%s: every choice's log-likelihood, and the accuracies", (name) => {
    const golden = goldens.multipleChoice[name]!;
    const { scores, result } = results.get(name)!;
    expect(scores.map(({ id }) => id)).toEqual(golden.items.map(({ id }) => id));
    const errors = golden.items.flatMap(({ logLikelihoods }, item) => {
      const score = scores[item]!;
      if (score.type !== "multiple_choice") throw new Error(score.type);
      expect(score.logLikelihoods).toHaveLength(logLikelihoods.length);
      return logLikelihoods.map((expected, choice) => Math.abs(score.logLikelihoods[choice]! / expected - 1));
    });
    expect(Math.max(...errors)).toBeLessThan(TOLERANCE);
    expect(result.figures.accuracy?.value).toBeCloseTo(golden.acc, 12);
    expect(result.figures.accuracy?.standardError).toBeCloseTo(golden.accStderr, 12);
    expect(result.figures.normalizedAccuracy?.value).toBeCloseTo(golden.accNorm, 12);
  });

  test.each(texts)("%s: every text's log-likelihood, and bits per byte", (name) => {
    const golden = goldens.perplexity[name]!;
    const { scores, result } = results.get(name)!;
    for (const [item, { id, logLikelihood }] of golden.items.entries()) {
      const score = scores[item]!;
      if (score.type !== "perplexity") throw new Error(score.type);
      expect(score.id).toBe(id);
      expect(Math.abs(score.logLikelihood / logLikelihood - 1)).toBeLessThan(TOLERANCE);
    }
    expect(Math.abs(result.figures.bitsPerByte!.value / golden.bitsPerByte - 1)).toBeLessThan(TOLERANCE);
  });
});
