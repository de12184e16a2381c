/**
 * @file Messages between the main thread and the worker. All of them can be cloned by the structured clone algorithm.
 */

import { CusprunError, type ErrorCode, type ErrorParts } from "../errors.ts";
import type { ProgressEvent, StageTime } from "../progress.ts";
import type { CommandName } from "./commands.ts";
import type { JobResult } from "./job-result.ts";
import type { Settings } from "./settings.ts";

/** The job that the worker is started with. */
export interface Job {
  readonly command: CommandName;
  /** The command's positional argument: a model, a scores file or a model's name; empty if it takes none. */
  readonly subject: string;
  readonly settings: Settings;
}

/** The only message from the main thread to the worker. */
export type ToWorker = "abort";

/** Messages from the worker. `result`, `aborted`, `refused` and `defect` are final: nothing follows them. */
export type FromWorker =
  | { readonly type: "progress"; readonly event: ProgressEvent }
  | { readonly type: "plan"; readonly stages: readonly StageTime[] }
  | { readonly type: "result"; readonly result: JobResult }
  | { readonly type: "aborted" }
  /** The parts of a `CusprunError`: a cloned error loses its class. */
  | { readonly type: "refused"; readonly code: ErrorCode; readonly parts: ErrorParts; readonly stack: string }
  | { readonly type: "defect"; readonly message: string; readonly stack: string };

/** Describes an error as a final message. */
export function describeError(error: unknown): Extract<FromWorker, { type: "refused" | "defect" }> {
  if (error instanceof CusprunError) {
    return { type: "refused", code: error.code, parts: { ...error.parts }, stack: stackOf(error) };
  }
  return { type: "defect", message: error instanceof Error ? error.message : String(error), stack: stackOf(error) };
}

/** The stack of an error and of its causes, which a bug report needs most. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\nCaused by: ${stackOf(error.cause)}`;
}
