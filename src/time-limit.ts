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
 * point, and runs no `catch` or `finally` of the function. Costs about 60 µs per call.
 *
 * It does not bound memory: one huge allocation ends the process, also in a worker thread with resource limits. Check
 * the sizes that the input claims first.
 * @param run may be called again, so it must begin with the same state. Objects that it was changing when it was
 * interrupted must not be used afterwards.
 * @param limitMs time of the processor, in milliseconds.
 * @throws TimeLimitError if it takes longer, and whatever `run` throws.
 */
export function withinTime<T>(run: () => T, limitMs: number = DEFAULT_LIMIT_MS): T {
  for (let timeout = limitMs; ; timeout *= 2) {
    const before = process.cpuUsage();
    try {
      return interruptible(run, timeout);
    } catch (error) {
      // An error of another realm is not an instance of this realm's Error.
      if ((error as { code?: unknown } | null)?.code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
      const { user, system } = process.cpuUsage(before);
      // A process that was stopped (Ctrl-Z), or that shares its processor with many others, did not use its time.
      if ((user + system) / 1000 >= limitMs / 2) throw new TimeLimitError(limitMs, error);
    }
  }
}

function interruptible<T>(run: () => T, timeout: number): T {
  context["run"] = run;
  try {
    return script.runInContext(context, { timeout }) as T;
  } finally {
    // Otherwise what the function refers to would stay in memory.
    context["run"] = undefined;
  }
}
