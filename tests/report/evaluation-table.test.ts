/** @file The table of an evaluation as plain text. */

import { expect, test } from "vitest";
import type { TaskResult } from "../../src/evaluation/summarize-task.ts";
import { renderEvaluation } from "../../src/report/evaluation-table.ts";

const texts: TaskResult = {
  name: "texts",
  type: "perplexity",
  items: 24,
  figures: {
    perplexity: { value: 18.309, standardError: 1, interval: [16.2, 20.71] },
    bitsPerByte: { value: 0.9512, standardError: 0.02, interval: [0.91, 0.99] },
  },
};
const choices: TaskResult = {
  name: "choices",
  type: "multiple_choice",
  items: 1,
  figures: {
    accuracy: { value: 1, standardError: null, interval: [0.2065, 1] },
    answerNegativeLogLikelihood: { value: 2.5, standardError: null, interval: null },
  },
};

test("for one model", () => {
  expect(renderEvaluation("smollm2", null, [texts, choices])).toMatchInlineSnapshot(`
    "smollm2

    task     figure                       items   value    95% interval
    texts    perplexity                      24   18.31   16.20 – 20.71
             bits per byte                   24   0.951   0.910 – 0.990
    choices  accuracy                         1  100.0%  20.6% – 100.0%
             NLL of correct choice, nats      1   2.500               –"
  `);
});

test("against another model: perplexities as ratios, other figures as differences", () => {
  const compared: TaskResult = {
    ...texts,
    against: { perplexity: { value: 16, standardError: null, interval: null }, bitsPerByte: texts.figures.bitsPerByte! },
    differences: {
      perplexity: { value: Math.log(1.144), standardError: 0.01, interval: [Math.log(1.1), Math.log(1.2)], pValue: 1e-5 },
    },
  };
  expect(renderEvaluation("expert", "smollm2", [compared])).toMatchInlineSnapshot(`
    "expert against smollm2

    task   figure         items  value   95% interval  against  difference      95% interval       p
    texts  perplexity        24  18.31  16.20 – 20.71    16.00      1.144×  1.100× to 1.200×  <0.001
           bits per byte     24  0.951  0.910 – 0.990    0.951           –                 –       –"
  `);
});
