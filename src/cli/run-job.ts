/**
 * @file Runs a job in the worker thread and keeps the terminal alive meanwhile: progress, and Ctrl-C.
 */

import { Worker } from "node:worker_threads";
import type { ProgressEvent } from "../progress.ts";
import type { FromWorker, Job, ToWorker } from "./protocol.ts";

/** Signals that stop the work, with the exit code that a shell expects of each. */
const STOP_SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

type StopSignal = keyof typeof STOP_SIGNALS;

/** How a job ended. */
export type Outcome =
  | Exclude<FromWorker, { type: "progress" | "aborted" }>
  | { readonly type: "stopped"; readonly exitCode: number };

/** What the main thread hears of a running job. */
export interface JobListener {
  onProgress(event: ProgressEvent): void;
  /** The first signal came; the worker is removing what it had begun. */
  onStopping(): void;
}

/**
 * Runs a job to its end. The first SIGINT or SIGTERM asks the worker to stop and waits until its temporaries are removed; a second one
 * ends the process at once.
 */
export async function runJob(job: Job, listener: JobListener): Promise<Outcome> {
  // From the sources (tests of the thread alone) there is no worker.js beside this file: only dist can be run.
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: job, stdout: true });
  // Standard output carries the result and nothing else, whatever a library prints.
  worker.stdout.pipe(process.stderr);
  let stoppedBy: StopSignal | null = null;
  const stop = (signal: StopSignal): void => {
    if (stoppedBy !== null) return dieOf(signal);
    stoppedBy = signal;
    listener.onStopping();
    worker.postMessage("abort" satisfies ToWorker);
  };
  for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[]) process.on(signal, stop);
  try {
    const last = await lastWord(worker, listener);
    if (last.type !== "aborted") return last;
    return { type: "stopped", exitCode: STOP_SIGNALS[stoppedBy ?? "SIGINT"] };
  } finally {
    for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[]) process.off(signal, stop);
    await worker.terminate();
  }
}

function lastWord(worker: Worker, listener: JobListener): Promise<Exclude<FromWorker, { type: "progress" }>> {
  return new Promise((resolve) => {
    worker.on("message", (message: FromWorker) => {
      if (message.type === "progress") listener.onProgress(message.event);
      else resolve(message);
    });
    worker.on("error", (error) => resolve({ type: "defect", message: error.message, stack: error.stack ?? error.message }));
    // After a last word this settles nothing any more; without one the thread was ended from outside (out of memory, say).
    worker.on("exit", (code) => resolve({ type: "defect", message: `the worker ended with code ${code}`, stack: "" }));
  });
}

/** Dies of the signal itself: `process.exit` would wait for the worker, which may be inside ONNX Runtime. */
function dieOf(signal: StopSignal): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
