/**
 * @file Time limits: results and errors pass through; loops and regular expressions without end are interrupted.
 */

import { describe, expect, test } from "vitest";
import { TimeLimitError, withinTime } from "../src/time-limit.ts";

/** Far below what the endless inputs take, far above what the machine needs to notice. */
const SHORT_MS = 50;

describe("withinTime", () => {
  test("returns the result and throws the error of the function itself", () => {
    const result = { text: "x" };
    const error = new TypeError("broken");
    expect(withinTime(() => result)).toBe(result);
    expect(() =>
      withinTime(() => {
        throw error;
      }),
    ).toThrow(error);
  });

  test.for<[string, () => unknown]>([
    [
      "a loop",
      () => {
        for (;;);
      },
    ],
    [
      "a loop that catches every error",
      () => {
        for (;;) {
          try {
            for (;;);
          } catch {
            continue;
          }
        }
      },
    ],
    ["a regular expression that backtracks", () => /^(a+)+$/.test(`${"a".repeat(64)}b`)],
    ["a Unicode replacement that backtracks", () => `${"ä".repeat(64)}1`.replace(/(\p{L}+)+2/gu, "")],
  ])("interrupts %s", ([, run]) => {
    expect(() => withinTime(run, SHORT_MS)).toThrow(TimeLimitError);
    expect(() => withinTime(run, SHORT_MS)).toThrow("no result within 0.05 seconds");
  });

  test("limits nest: the inner one ends first, and the outer one goes on", () => {
    const inner = (): never => {
      for (;;);
    };
    const outer = (): string => {
      expect(() => withinTime(inner, SHORT_MS)).toThrow(TimeLimitError);
      return "went on";
    };
    expect(withinTime(outer, 60_000)).toBe("went on");
  });

  test("does not count the time in which the process gets no processor", () => {
    const waiting = new Int32Array(new SharedArrayBuffer(4));
    // The first attempt, of 50 ms, and the second, of 100 ms, are interrupted without having used a processor.
    expect(withinTime(() => Atomics.wait(waiting, 0, 0, 3 * SHORT_MS), SHORT_MS)).toBe("timed-out");
  });
});
