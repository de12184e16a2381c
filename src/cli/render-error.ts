/**
 * @file Errors for people and, with `--json`, for programs.
 */

import type { Outcome } from "./run-job.ts";

/** Exit code of a defect of cusprun (EX_SOFTWARE of sysexits.h). */
export const DEFECT_EXIT_CODE = 70;

type Failure = Extract<Outcome, { type: "refused" | "defect" }>;

/** An error as lines of text; with its stack where `debug` is set. */
export function renderError(failure: Failure, debug: boolean): string {
  const lines = failure.type === "refused" ? refusalLines(failure) : defectLines(failure, debug);
  return [...lines, ...(debug ? ["", failure.stack] : [])].join("\n");
}

function refusalLines({ code, parts }: Extract<Failure, { type: "refused" }>): string[] {
  return [
    `cusprun: ${parts.where}`,
    `  found     ${parts.found}`,
    `  expected  ${parts.expected}`,
    `  ${parts.remedy}. [${code}]`,
  ];
}

function defectLines({ message }: Extract<Failure, { type: "defect" }>, debug: boolean): string[] {
  return [
    `cusprun: a defect of cusprun: ${message}`,
    debug
      ? "  Please report it with the command line and the lines below."
      : "  Please report it with the command line and what CUSPRUN_DEBUG=1 adds to this message.",
  ];
}

/** An error as one JSON object: `{"error": {code, message, where, found, expected, remedy}}`; a defect has the code `DEFECT`. */
export function renderErrorJson(failure: Failure): string {
  if (failure.type === "defect") return JSON.stringify({ error: { code: "DEFECT", message: failure.message } });
  const { code, parts } = failure;
  const message = `${parts.where}: found ${parts.found}, expected ${parts.expected}. ${parts.remedy}.`;
  return JSON.stringify({ error: { code, message, ...parts } });
}
