/** @file Progress of a whole run, with a fake clock. */

import { expect, test } from "vitest";
import { withRunProgress } from "../../src/pipeline/run-progress.ts";
import type { RunProgress, StageTime } from "../../src/progress.ts";

const told = (stage: string, seconds: number): StageTime => ({ stage, seconds, silentSeconds: 0, reused: false });
const STAGES = [told("scoring", 60), told("repairing", 120), told("writing", 10), told("writing", 10)];

type Event = [atSeconds: number, stage: string, done: number, total: number | null];

/** Progress after each event. */
function follow(stages: readonly StageTime[], events: readonly Event[]): { share: number; left: number }[] {
  let now = 0;
  const shown: RunProgress[] = [];
  const show = withRunProgress(
    stages,
    ({ run }) => shown.push(run!),
    () => now,
  );
  for (const [atSeconds, stage, done, total] of events) {
    now = atSeconds * 1000;
    show({ stage, done, total, unit: "layers" });
  }
  return shown.map(({ share, secondsLeft }) => ({ share: Number(share.toFixed(3)), left: Number(secondsLeft.toFixed(1)) }));
}

test("a run that goes as told counts down over all stages", () => {
  expect(
    follow(STAGES, [
      [0, "scoring", 0, 10],
      [30, "scoring", 5, 10],
      [60, "scoring", 10, 10],
      [120, "repairing", 15, 30],
      [180, "repairing", 30, 30],
      [190, "writing", 7, 7],
      [195, "writing", 1, 2],
      [200, "writing", 2, 2],
    ]),
  ).toEqual([
    { share: 0, left: 200 },
    { share: 0.15, left: 170 },
    { share: 0.3, left: 140 },
    { share: 0.6, left: 80 },
    { share: 0.9, left: 20 },
    { share: 0.95, left: 10 },
    { share: 0.975, left: 5 },
    { share: 1, left: 0 },
  ]);
});

test("a stage that is slower than told makes the rest longer in proportion", () => {
  const [slow] = follow(STAGES, [[120, "scoring", 10, 10]]);
  // 120 seconds for 60, with a twentieth of the run (10 s) counted as told: 130/70 of the 140 that follow.
  expect(slow).toEqual({ share: Number((120 / (120 + 260)).toFixed(3)), left: 260 });
  const shares = follow(STAGES, [
    [60, "scoring", 10, 10],
    [61, "repairing", 1, 30],
    [200, "repairing", 2, 30],
    [400, "repairing", 3, 30],
  ]).map(({ share }) => share);
  expect(shares).toEqual(shares.toSorted((a, b) => a - b));
});

test("a stage that goes on where an earlier run stopped is not taken for a fast one", () => {
  const [, resumed, half] = follow(STAGES, [
    [60, "scoring", 10, 10],
    [61, "repairing", 20, 30],
    [81, "repairing", 25, 30],
  ]);
  expect(resumed!.left).toBeCloseTo(40 + 20, -1);
  expect(half!.left).toBeCloseTo(20 + 20, -1);
});

test("stages that are skipped, work between stages and unknown totals do no harm", () => {
  const shown = follow(
    [{ stage: "scoring", seconds: 0, silentSeconds: 0, reused: true }, told("repairing", 100)],
    [
      [1, "selecting", 1, 2],
      [2, "checking weights", 3, null],
      [52, "repairing", 1, 2],
    ],
  );
  expect(shown.map(({ left }) => left)).toEqual([100 * (6 / 5), 100 * (7 / 5), 50]);
  expect(follow([], [[1, "writing", 1, 2]])).toEqual([{ share: 1, left: 0 }]);
});

test("a stage that ends in silence has that time left after its last step", () => {
  const stages = [{ ...told("scoring", 60), silentSeconds: 20 }, told("writing", 40)];
  const shown = follow(stages, [
    [20, "scoring", 1, 2],
    [40, "scoring", 2, 2],
    [60, "scoring", 2, 2],
    [80, "writing", 1, 2],
  ]);
  expect(shown.map(({ left }) => left)).toEqual([80, 60, 40, 20]);
});
