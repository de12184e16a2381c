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
