/** @file The documents of trials: damage is measured on none that a trial is repaired on. */

import { describe, expect, test } from "vitest";
import type { Corpus, Dimension, TokenDocument } from "../../src/corpora/corpus.ts";
import { trialTexts } from "../../src/pipeline/trial-step.ts";

function documents(first: number, count: number): TokenDocument[] {
  return Array.from({ length: count }, (_, index) => ({
    tokens: Int32Array.of(first + index, 1, 2, 3),
    byteLength: 8,
    source: `${first + index}`,
  }));
}

function corpus(dimension: Dimension, calibration: readonly TokenDocument[]): Corpus {
  return { dimension, label: dimension, calibration, heldOut: [] };
}

function sourcesOf(corpora: readonly Corpus[], repairs = true): { measured: string[]; fitted: string[] }[] {
  return trialTexts(corpora, repairs).map(({ documents: measured, fitted }) => ({
    measured: measured.map(({ source }) => source),
    fitted: fitted.map(({ source }) => source),
  }));
}

describe("the documents of trials", () => {
  test.each([
    [12, ["0", "1", "2", "3"], ["8", "9", "10", "11"]],
    [8, ["0", "1", "2", "3"], ["4", "5", "6", "7"]],
    [7, ["0", "1", "2", "3"], ["4", "5", "6"]],
    [5, ["0", "1", "2"], ["3", "4"]],
    [4, ["0", "1"], ["2", "3"]],
    [2, ["0"], ["1"]],
    [1, ["0"], ["0"]],
  ])("of %i: measured and fitted are apart, unless there is only one", (count, measured, fitted) => {
    expect(sourcesOf([corpus("domain", documents(0, count))])).toEqual([{ measured, fitted }]);
  });

  test("without repair, the first ones are measured and none is fitted", () => {
    const own = { measured: ["0", "1", "2", "3"], fitted: [] };
    expect(sourcesOf([corpus("domain", documents(0, 5))], false)).toEqual([own]);
  });

  test("of two dimensions are apart too: one does not fit what the other measures", () => {
    const shared = documents(0, 12);
    const texts = sourcesOf([corpus("language", shared), corpus("domain", shared.toReversed())]);
    const measured = texts.flatMap((own) => own.measured);
    for (const { fitted } of texts) for (const source of fitted) expect(measured).not.toContain(source);
    expect(texts.flatMap(({ fitted }) => fitted).toSorted()).toEqual(["4", "4", "5", "5", "6", "6", "7", "7"]);
  });

  test("of two dimensions that measure on everything: none fits what it measures itself", () => {
    const shared = documents(0, 8);
    expect(sourcesOf([corpus("language", shared), corpus("domain", shared.toReversed())])).toEqual([
      { measured: ["0", "1", "2", "3"], fitted: ["4", "5", "6", "7"] },
      { measured: ["7", "6", "5", "4"], fitted: ["3", "2", "1", "0"] },
    ]);
  });
});
