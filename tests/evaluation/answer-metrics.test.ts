/**
 * @file Metrics of generated answers against SQuAD's script and `rouge-score`, and cases that these do not cover: other
 * scripts, numbers, parts of an output.
 */

import { describe, expect, test } from "vitest";
import { defaultExtract, extractAnswer, scoreAnswer } from "../../src/evaluation/answer-metrics.ts";
import { GENERATION_METRICS } from "../../src/evaluation/task-file.ts";
import goldens from "../fixtures/answer-goldens.json" with { type: "json" };

describe("agreement with a reference", () => {
  test.each(goldens)("of $answer with $reference", ({ answer, reference, ...expected }) => {
    // rouge-score ignores everything outside ASCII, and these pairs contain nothing else.
    for (const metric of GENERATION_METRICS) expect(scoreAnswer(metric, answer, [reference])).toBeCloseTo(expected[metric], 12);
  });

  test("is that with the best of several references", () => {
    expect(scoreAnswer("f1", "a red car", ["a blue bicycle", "red car"])).toBe(1);
  });

  test("counts characters in scripts without spaces", () => {
    // 3 of 4 and of 3 characters.
    expect(scoreAnswer("f1", "龙松演员", ["龙松员"])).toBeCloseTo((2 * 0.75 * 1) / 1.75, 12);
    expect(scoreAnswer("rougeL", "一二三", ["一三二"])).toBeCloseTo(2 / 3, 12);
  });

  test("knows letters beyond ASCII", () => {
    expect(scoreAnswer("rougeL", "Größe über alles", ["größe, über alles"])).toBe(1);
    expect(scoreAnswer("exact_match", "«Éluard»", ["éluard"])).toBe(1);
  });

  test("compares numbers as numbers", () => {
    expect(scoreAnswer("exact_match", "1,250", ["1250"])).toBe(1);
    expect(scoreAnswer("exact_match", "12.50", ["12.5"])).toBe(1);
    expect(scoreAnswer("exact_match", "", ["0"])).toBe(0);
  });
});

describe("the compared part", () => {
  test.each([
    ["last_number", "5 + 7 = 12. So she has $1,012.50.\n", "1,012.50"],
    ["last_number", "none", ""],
    ["first_word", " Bob and Anna", "Bob"],
    ["first_phrase", " The U.S. president, Lincoln", "The U.S"],
    ["first_phrase", "Paris. It is", "Paris"],
    ["first_phrase", "巴黎。它", "巴黎"],
    ["first_line", "\nParis, France.\nQuestion", "Paris, France."],
    ["all", " a\nb ", "a\nb"],
  ] as const)("%s of %j", (extract, output, answer) => {
    expect(extractAnswer(output, extract)).toBe(answer);
  });

  test("depends on the metric and the references by default", () => {
    expect(defaultExtract("exact_match", ["12", "12.0"])).toBe("last_number");
    expect(defaultExtract("exact_match", ["12", "twelve"])).toBe("first_phrase");
    expect(defaultExtract("f1", ["12"])).toBe("first_line");
    expect(defaultExtract("rougeL", ["12"])).toBe("all");
  });
});
