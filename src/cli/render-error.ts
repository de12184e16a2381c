/**
 * @file Errors as text and, with `--json`, as JSON.
 */

import type { Outcome } from "./run-job.ts";

/** Exit code of a bug in cusprun (EX_SOFTWARE in sysexits.h). */
export const DEFECT_EXIT_CODE = 70;

type Failure = Extract<Outcome, { type: "refused" | "defect" }>;

/** Renders an error as text; with its stack if `debug` is set. */
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
    `cusprun: internal error: ${message}`,
    debug
      ? "  This is a bug in cusprun. Please report it with the command line and the stack trace below."
      : "  This is a bug in cusprun. Please report it with the command line and the stack trace that CUSPRUN_DEBUG=1 prints.",
  ];
}

/**
 * Renders an error as one JSON object: `{"error": {code, message, where, found, expected, remedy}}`; a bug in cusprun
 * has the code `DEFECT`.
 */
export function renderErrorJson(failure: Failure): string {
  if (failure.type === "defect") return JSON.stringify({ error: { code: "DEFECT", message: failure.message } });
  const { code, parts } = failure;
  const message = `${parts.where}: found ${parts.found}, expected ${parts.expected}. ${parts.remedy}.`;
  return JSON.stringify({ error: { code, message, ...parts } });
}
