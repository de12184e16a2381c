/** @file What a run will take, as text. */

import { expect, test } from "vitest";
import { describeStages, formatAbout, renderEstimate } from "../../src/report/estimate-table.ts";
import type { StageTime } from "../../src/progress.ts";

const told = (stage: string, seconds: number, reused = false): StageTime => ({ stage, seconds, silentSeconds: 0, reused });
const STAGES = [
  told("scoring", 0, true),
  told("selecting", 3),
  told("repairing", 252),
  told("writing", 9),
  told("writing", 25),
  told("measuring the expert", 31),
];

test.each([
  [0.2, "under 1 s"],
  [7.6, "8 s"],
  [33, "35 s"],
  [58, "1 min"],
  [94, "1 min 30 s"],
  [599, "10 min"],
  [2840, "47 min"],
  [3590, "1 h"],
  [12_100, "3 h 20 min"],
])("%s seconds are about %s", (seconds, text) => {
  expect(formatAbout(seconds)).toBe(text);
});

test("one line before a run, with the stages that matter", () => {
  expect(describeStages(STAGES)).toBe(
    "about 5 min 20 s on this machine: scoring (reused), repairing 4 min 10 s, writing 35 s, measuring the expert 30 s",
  );
});

test("a table for a dry run", () => {
  const memory = {
    limitBytes: 6 * 2 ** 30,
    keptStatesBytes: 0,
    stages: (["scoring", "measuring", "repairing", "writing"] as const).map((stage, index) => ({
      stage,
      batchTokens: 512,
      spills: false,
      peakBytes: (400 + 100 * index) * 2 ** 20,
    })),
  };
  const written = [
    { label: "weights in BF16", bytes: 200 * 2 ** 20 },
    { label: "GGUF file, Q4_K_M", bytes: 90 * 2 ** 20 },
  ];
  const estimate = { model: "smollm2", out: "experts/small", stages: STAGES, seconds: 320, memory, written };
  expect(renderEstimate(estimate)).toMatchInlineSnapshot(`
    "smollm2: what this run will take on this machine

    stage                       time                memory
    scoring                   reused               400 MiB
    selecting                    3 s
    repairing             4 min 10 s               600 MiB
    writing                     35 s               700 MiB
    measuring the expert        30 s               500 MiB
    total                 5 min 20 s  of 6.00 GiB: 700 MiB

    weights in BF16     about 200 MiB
    GGUF file, Q4_K_M  about 90.0 MiB

    Nothing was written. Without --dry-run, the expert will be in experts/small."
  `);
});
