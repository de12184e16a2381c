/** @file Formatting of numbers, and display widths. */

import { describe, expect, test } from "vitest";
import {
  displayWidth,
  formatBytes,
  formatCount,
  formatDuration,
  formatPerplexity,
  padLeft,
  padRight,
} from "../../src/report/format.ts";

describe("displayWidth", () => {
  test.each([
    ["medical", 7],
    ["法律", 4],
    ["日本語 notes", 12],
    ["e\u0301te\u0301", 3],
    ["한국어", 6],
    ["👩‍⚕️", 2],
    ["", 0],
  ])("%s takes %i columns", (text, columns) => expect(displayWidth(text)).toBe(columns));

  // 2,000 characters of two columns each: a text that fits no table is not measured.
  test("a very long text is counted in characters", () => expect(displayWidth("病".repeat(2000))).toBe(2000));

  test("padding counts columns, not characters", () => {
    expect(padRight("法律", 6)).toBe("法律  ");
    expect(padLeft("法律", 6)).toBe("  法律");
    expect(padRight("longer", 3)).toBe("longer");
  });
});

describe("numbers", () => {
  test.each([
    [0, "0"],
    [987, "987"],
    [1000, "1.00k"],
    [12_345, "12.3k"],
    [134_515_008, "134.5M"],
    [999_960, "1.00M"],
    [13_015_864_320, "13.0B"],
  ])("formatCount(%i) = %s", (count, text) => expect(formatCount(count)).toBe(text));

  test.each([
    [512, "512 B"],
    [98_362_432, "93.8 MiB"],
    [5_000_000_000, "4.66 GiB"],
  ])("formatBytes(%i) = %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test.each([
    [400, "0.4 s"],
    [12_400, "12 s"],
    [59_700, "1 min 00 s"],
    [185_000, "3 min 05 s"],
    [7_800_000, "2 h 10 min"],
  ])("formatDuration(%i) = %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

  test("perplexities of broken models stay readable", () => {
    expect(formatPerplexity(12.3456)).toBe("12.35");
    expect(formatPerplexity(123_456.7)).toBe("123,457");
    expect(formatPerplexity(Infinity)).toBe("∞");
  });
});
