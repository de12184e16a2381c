/**
 * @file What the main thread and the worker say to each other. Everything is structured-clonable.
 */

import { CusprunError, type ErrorCode, type ErrorParts } from "../errors.ts";
import type { ProgressEvent } from "../progress.ts";
import type { CommandName } from "./commands.ts";
import type { JobResult } from "./job-result.ts";
import type { Settings } from "./options.ts";

/** What the worker is started with. */
export interface Job {
  readonly command: CommandName;
  /** The model, scores file or name behind the command. */
  readonly subject: string;
  readonly settings: Settings;
}

/** What the main thread posts to the worker: there is one thing to say. */
export type ToWorker = "abort";

/** What the worker posts. `result`, `aborted`, `refused` and `defect` are last words. */
export type FromWorker =
  | { readonly type: "progress"; readonly event: ProgressEvent }
  | { readonly type: "result"; readonly result: JobResult }
  | { readonly type: "aborted" }
  /** A `CusprunError`, taken apart since a clone of an error loses its class. */
  | { readonly type: "refused"; readonly code: ErrorCode; readonly parts: ErrorParts; readonly stack: string }
  | { readonly type: "defect"; readonly message: string; readonly stack: string };

/** An error as a last word. */
export function describeError(error: unknown): FromWorker {
  if (error instanceof CusprunError) {
    return { type: "refused", code: error.code, parts: { ...error.parts }, stack: stackOf(error) };
  }
  return { type: "defect", message: error instanceof Error ? error.message : String(error), stack: stackOf(error) };
}

/** The stack, with those of the causes: what caused a defect is most of what a report needs. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\nCaused by: ${stackOf(error.cause)}`;
}
