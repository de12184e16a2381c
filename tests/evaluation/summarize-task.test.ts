/** @file Scores → figures, against values computed by hand. */

import { describe, expect, test } from "vitest";
import type { ChoiceScore, TextScore } from "../../src/evaluation/item-scores.ts";
import { summarizeTask } from "../../src/evaluation/summarize-task.ts";
import type { Task } from "../../src/evaluation/task-file.ts";

const task = (type: Task["type"]): Task => ({ name: "sky", path: "sky.jsonl", type, items: [] });
const choice = (logLikelihoods: readonly number[], characters: readonly number[], answer: number): ChoiceScore => ({
  type: "multiple_choice",
  id: "1",
  logLikelihoods,
  characters,
  answer,
  answerBytes: characters[answer]!,
});
const text = (bits: number, tokens: number, bytes: number): TextScore => ({
  type: "perplexity",
  id: "1",
  logLikelihood: -bits * Math.LN2,
  tokens,
  bytes,
});

describe("a summary", () => {
  test("of choices takes the most likely, in total and per character, the first of equally likely ones", () => {
    const scores = [
      // The most likely is 1, per character 0.
      choice([-6, -5], [12, 2], 1),
      choice([-6, -5], [12, 2], 0),
      choice([-4, -4], [2, 2], 1),
    ];
    const { figures, items, against } = summarizeTask(task("multiple_choice"), scores, null);
    expect({ items, against }).toEqual({ items: 3, against: undefined });
    expect(figures.accuracy?.value).toBeCloseTo(1 / 3, 12);
    expect(figures.normalizedAccuracy?.value).toBeCloseTo(1 / 3, 12);
    expect(figures.answerNegativeLogLikelihood?.value).toBeCloseTo((5 + 6 + 4) / 3, 12);
    expect(figures.answerBitsPerByte?.value).toBeCloseTo(15 / Math.LN2 / 16, 12);
    expect(Object.keys(figures)).toHaveLength(4);
  });

  test("counts no choice as right if a likelihood is not a number", () => {
    for (const broken of [choice([Number.NaN, -1], [1, 1], 0), choice([-1, Number.NaN], [1, 1], 0)]) {
      const { figures } = summarizeTask(task("multiple_choice"), [broken], null);
      expect([figures.accuracy?.value, figures.normalizedAccuracy?.value]).toEqual([0, 0]);
    }
  });

  test("of texts counts every token and byte once", () => {
    const { figures } = summarizeTask(task("perplexity"), [text(10, 5, 20), text(30, 5, 20)], null);
    expect(figures.perplexity?.value).toBeCloseTo(2 ** 4, 10);
    expect(figures.bitsPerByte?.value).toBeCloseTo(1, 12);
  });

  test("of two models has differences, item by item", () => {
    const own = [choice([-1, -2], [1, 1], 0), choice([-1, -2], [1, 1], 0)];
    const other = [choice([-2, -1], [1, 1], 0), choice([-3, -4], [1, 1], 0)];
    const { against, differences } = summarizeTask(task("multiple_choice"), own, other);
    expect(against?.accuracy?.value).toBe(0.5);
    expect(differences?.accuracy).toMatchObject({ value: 0.5, pValue: 1 });
    expect(differences?.answerNegativeLogLikelihood).toMatchObject({ value: -1.5 });
  });

  test("of two tokenizers compares bits per byte, but not perplexity", () => {
    const own = [text(10, 5, 20), text(30, 5, 20)];
    const { differences } = summarizeTask(task("perplexity"), own, [text(12, 6, 20), text(30, 4, 20)]);
    expect(Object.keys(differences ?? {})).toEqual(["bitsPerByte"]);
    expect(differences?.bitsPerByte?.value).toBeCloseTo(-2 / 40, 12);
    const same = summarizeTask(task("perplexity"), own, [text(20, 5, 20), text(40, 5, 20)]).differences;
    expect(same?.perplexity?.value).toBeCloseTo(-2 * Math.LN2, 12);
  });
});
