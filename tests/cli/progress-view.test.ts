/** @file Progress on a terminal and in a log, with a fake clock. */

import { expect, test } from "vitest";
import { ProgressView } from "../../src/cli/progress-view.ts";

const run = (isTTY: boolean, events: [atMs: number, done: number, total: number | null][]): string => {
  let [text, now] = ["", 0];
  const view = new ProgressView({ isTTY, columns: 80, write: (part: string) => (text += part) }, () => now);
  for (const [atMs, done, total] of events) {
    now = atMs;
    view.show({ stage: "scoring", done, total, unit: "tokens" });
  }
  view.finish();
  return text;
};

test("a log has a line at the start and at every 10%", () => {
  const events = Array.from({ length: 101 }, (_, i): [number, number, number] => [i * 100, i * 50, 5000]);
  expect(run(false, events)).toMatchInlineSnapshot(`
    "scoring   0%  0 of 5.00k tokens
    scoring  10%  500 of 5.00k tokens  500/s  9.0 s left
    scoring  20%  1.00k of 5.00k tokens  500/s  8.0 s left
    scoring  30%  1.50k of 5.00k tokens  500/s  7.0 s left
    scoring  40%  2.00k of 5.00k tokens  500/s  6.0 s left
    scoring  50%  2.50k of 5.00k tokens  500/s  5.0 s left
    scoring  60%  3.00k of 5.00k tokens  500/s  4.0 s left
    scoring  70%  3.50k of 5.00k tokens  500/s  3.0 s left
    scoring  80%  4.00k of 5.00k tokens  500/s  2.0 s left
    scoring  90%  4.50k of 5.00k tokens  500/s  1.0 s left
    scoring 100%  5.00k of 5.00k tokens  500/s
    "
  `);
});

test("a log of unknown length has one line", () => {
  expect(
    run(false, [
      [0, 0, null],
      [2000, 10, null],
      [4000, 20, null],
    ]),
  ).toBe("scoring  0 tokens\n");
});

test("a terminal has one line, redrawn and finally erased", () => {
  const text = run(true, [
    [0, 0, 1000],
    [20, 1, 1000],
    [4000, 250, 1000],
  ]);
  expect(text.split("\r\u001b[K")).toEqual([
    "",
    "scoring  ░░░░░░░░░░░░░░░░░░░░   0%  0 of 1.00k tokens",
    "scoring  █████░░░░░░░░░░░░░░░  25%  250 of 1.00k tokens  63/s  12 s left",
    "",
  ]);
});

test("of a run whose stages are planned, share and time left are those of all stages", () => {
  const show = (isTTY: boolean): string => {
    let [text, now] = ["", 0];
    const view = new ProgressView({ isTTY, columns: 80, write: (part: string) => (text += part) }, () => now);
    for (const [atMs, stage, done, share] of [
      [0, "scoring", 1, 0.02],
      [20_000, "scoring", 5, 0.08],
      [40_000, "scoring", 10, 0.21],
      [41_000, "repairing", 1, 0.22],
      [80_000, "repairing", 5, 0.31],
    ] as const) {
      now = atMs;
      view.show({ stage, done, total: 10, unit: "layers", run: { share, secondsLeft: 200 * (1 - share) } });
    }
    view.finish();
    return text;
  };
  expect(show(false)).toMatchInlineSnapshot(`
    "scoring   2%  3 min 16 s left  1 of 10 layers
    scoring  21%  2 min 38 s left  10 of 10 layers  0.2/s
    repairing  22%  2 min 36 s left  1 of 10 layers
    repairing  31%  2 min 18 s left  5 of 10 layers  0.1/s
    "
  `);
  expect(show(true).split("\r\u001b[K").slice(1)).toMatchInlineSnapshot(`
    [
      "scoring  ░░░░░░░░░░░░░░░░░░░░   2%  3 min 16 s left  1 of 10 layers",
      "scoring  ██░░░░░░░░░░░░░░░░░░   8%  3 min 04 s left  5 of 10 layers  0.2/s",
      "scoring  ████░░░░░░░░░░░░░░░░  21%  2 min 38 s left  10 of 10 layers  0.2/s",
      "repairing  ████░░░░░░░░░░░░░░░░  22%  2 min 36 s left  1 of 10 layers",
      "repairing  ██████░░░░░░░░░░░░░░  31%  2 min 18 s left  5 of 10 layers  0.1/s",
      "",
    ]
  `);
});
