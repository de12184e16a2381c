/**
 * @file A bound on the time that a library may take for input that we did not write: a damaged length, or a regular
 * expression that backtracks, can keep it busy for ever.
 */

import { createContext, Script } from "node:vm";

/** Time for one step of bounded size, such as a page of a table or a document. Real ones take milliseconds. */
const DEFAULT_LIMIT_MS = 5000;

/** Thrown by `withinTime`. */
export class TimeLimitError extends Error {
  constructor(limitMs: number, cause: unknown) {
    super(`no result within ${limitMs / 1000} seconds`, { cause });
    this.name = "TimeLimitError";
  }
}

/** Its global `run` is the function to call. The context exists because only a script can be given a time limit. */
const context = createContext({});
const script = new Script("run()");

/**
 * Calls a synchronous function, and interrupts it when its time is over: V8 stops loops and regular expressions at any
 * point, and runs no `catch` or `finally` of the function. Objects that it was changing must not be used afterwards.
 * Costs about 60 µs per call.
 *
 * It does not bound memory: one huge allocation ends the process, also in a worker thread with resource limits. Check
 * the sizes that the input claims first.
 * @throws TimeLimitError if it takes longer than `limitMs`, and whatever `run` throws.
 */
export function withinTime<T>(run: () => T, limitMs: number = DEFAULT_LIMIT_MS): T {
  context["run"] = run;
  try {
    return script.runInContext(context, { timeout: limitMs }) as T;
  } catch (error) {
    // An error of another realm is not an instance of this realm's Error.
    const isTimeout = (error as { code?: unknown } | null)?.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
    throw isTimeout ? new TimeLimitError(limitMs, error) : error;
  } finally {
    // Otherwise what the function refers to would stay in memory.
    context["run"] = undefined;
  }
}
