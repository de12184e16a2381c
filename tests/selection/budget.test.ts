import { describe, expect, it } from "vitest";
import { isNothing, parseBudget, parametersToRemove } from "../../src/selection/budget.ts";

const base = { total: 1_000_000, blocks: 800_000, bytesPerParameter: 2 };

describe("a budget", () => {
  it.each<[string | number, number]>([
    ["25%", 250_000],
    ["25% of all", 250_000],
    ["12.5 % of blocks", 100_000],
    ["0%", 0],
    [0, 0],
    [0.25, 250_000],
    ["0.25", 250_000],
    ["300K", 300_000],
    ["0.3M", 300_000],
    ["0.0003B", 300_000],
    ["300K parameters", 300_000],
    ["300000 parameters", 300_000],
    ["0.2M params", 200_000],
    ["500kB", 250_000],
    ["0.5MB", 250_000],
    ["512KiB", 262_144],
    ["1 MiB", 524_288],
  ])("%j removes %i parameters", (written, parameters) => {
    expect(parametersToRemove(parseBudget(written), base)).toBe(parameters);
  });

  it.each<[string | number, RegExp]>([
    ["a quarter", /found "a quarter".*`25%`.*`30M`.*`80MB`/],
    ["-5%", /found "-5%"/],
    ["100%", /under 100%.*Request less/],
    ["25", /a unit after the number.*25% for a share, or 25M/],
    [30, /a unit after the number/],
    ["25% of heads", /found "25% of heads"/],
    ["3Q", /found "3Q"/],
    ["3MB parameters", /found "3MB parameters"/],
    ["", /found ""/],
    [NaN, /found "NaN"/],
    ["1e5%", /found "1e5%"/],
    ["1e400%", /found "1e400%"/],
    [`${"9".repeat(400)}%`, /under 100%/],
    [`${"9".repeat(400)}M`, /found "9{70,80}…/],
    [`${"9".repeat(400)} parameters`, /found "9{70,80}…/],
    ["-0%", /found "-0%"/],
    ["-1M", /found "-1M"/],
  ])("%j is refused", (written, message) => {
    expect(() => parseBudget(written)).toThrowError(
      expect.objectContaining({ code: "BUDGET_INVALID", message: expect.stringMatching(message) }),
    );
  });

  it.each<[string | number, boolean]>([
    ["0%", true],
    ["0.00 % of blocks", true],
    [0, true],
    ["0 parameters", true],
    ["0.4 parameters", true],
    ["0MB", true],
    ["0.01%", false],
    ["1 parameters", false],
    ["1KB", false],
  ])("%j requests nothing: %j", (written, expected) => {
    expect(isNothing(parseBudget(written))).toBe(expected);
  });

  it("above the parameters of the blocks is unreachable", () => {
    expect(() => parametersToRemove(parseBudget("90%"), base)).toThrowError(
      expect.objectContaining({
        code: "BUDGET_UNREACHABLE",
        message: expect.stringMatching(/900000 parameters.*800000.*80\.0% of all.*embeddings/),
      }),
    );
  });
});
