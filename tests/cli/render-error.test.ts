/** @file Errors as they are printed, and as they are passed between threads. */

import { describe, expect, test } from "vitest";
import { describeError } from "../../src/cli/protocol.ts";
import { renderError, renderErrorJson } from "../../src/cli/render-error.ts";
import type { Outcome } from "../../src/cli/run-job.ts";
import { CusprunError } from "../../src/errors.ts";

type Failure = Extract<Outcome, { type: "refused" | "defect" }>;

/** The error as the main thread receives it: cloned, without its class. */
const across = (error: unknown): Failure => structuredClone(describeError(error));

const PARTS = { where: "model.safetensors: tensor 'a'", found: "3 bytes", expected: "4", remedy: "Fetch the file again" };

describe("a CusprunError", () => {
  const failure = across(new CusprunError("DISK_FULL", PARTS, { cause: new Error("ENOSPC") }));

  test("shows the place, the values and the remedy, without a stack", () => {
    expect(renderError(failure, false)).toBe(
      "cusprun: model.safetensors: tensor 'a'\n  found     3 bytes\n  expected  4\n  Fetch the file again. [DISK_FULL]",
    );
  });

  test("has a stack and its cause when debugging", () => {
    expect(renderError(failure, true)).toMatch(/CusprunError[\s\S]*Caused by: Error: ENOSPC/);
  });

  test("as JSON has all parts and the message of the library", () => {
    const { error } = JSON.parse(renderErrorJson(failure)) as { error: unknown };
    expect(error).toEqual({ code: "DISK_FULL", message: new CusprunError("DISK_FULL", PARTS).message, ...PARTS });
  });
});

describe("an internal error", () => {
  const failure = across(new TypeError("x is not a function"));

  test("asks for a bug report and explains how to write one", () => {
    expect(renderError(failure, false)).toContain("internal error: x is not a function");
    expect(renderError(failure, false)).toContain("CUSPRUN_DEBUG=1");
    expect(renderError(failure, false)).not.toContain("render-error.test.ts");
    expect(renderError(failure, true)).toContain("render-error.test.ts");
  });

  test("as JSON has a code of its own", () => {
    expect(JSON.parse(renderErrorJson(failure))).toEqual({ error: { code: "DEFECT", message: "x is not a function" } });
  });

  test("may be thrown as something other than an Error", () =>
    expect(across("oops")).toMatchObject({ type: "defect", message: "oops" }));
});
