/**
 * @file Runs a job in the worker thread; meanwhile the main thread handles progress and Ctrl-C.
 */

import { Worker } from "node:worker_threads";
import type { ProgressEvent } from "../progress.ts";
import type { FromWorker, Job, ToWorker } from "./protocol.ts";

/** Signals that stop the job, with the exit code that shells expect for each. */
const STOP_SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

type StopSignal = keyof typeof STOP_SIGNALS;

/** How a job ended. */
export type Outcome =
  | Exclude<FromWorker, { type: "progress" | "aborted" }>
  | { readonly type: "stopped"; readonly exitCode: number };

/** Callbacks of a running job. */
export interface JobListener {
  onProgress(event: ProgressEvent): void;
  /** Called on the first signal, while the worker removes its partial output. */
  onStopping(): void;
}

/**
 * Runs a job to its end. The first SIGINT or SIGTERM asks the worker to stop and waits until its temporary files are
 * removed; a second one kills the process at once.
 */
export async function runJob(job: Job, listener: JobListener): Promise<Outcome> {
  // Only dist can be run: in src there is no worker.js next to this file.
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: job, stdout: true });
  // Standard output carries only the result, whatever a library prints.
  worker.stdout.pipe(process.stderr);
  let stoppedBy: StopSignal | null = null;
  const stop = (signal: StopSignal): void => {
    if (stoppedBy !== null) return killSelf(signal);
    stoppedBy = signal;
    listener.onStopping();
    worker.postMessage("abort" satisfies ToWorker);
  };
  for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[]) process.on(signal, stop);
  try {
    const last = await finalMessage(worker, listener);
    if (last.type !== "aborted") return last;
    return { type: "stopped", exitCode: STOP_SIGNALS[stoppedBy ?? "SIGINT"] };
  } finally {
    for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[]) process.off(signal, stop);
    await worker.terminate();
  }
}

function finalMessage(worker: Worker, listener: JobListener): Promise<Exclude<FromWorker, { type: "progress" }>> {
  return new Promise((resolve) => {
    worker.on("message", (message: FromWorker) => {
      if (message.type === "progress") listener.onProgress(message.event);
      else resolve(message);
    });
    worker.on("error", (error) => resolve({ type: "defect", message: error.message, stack: error.stack ?? error.message }));
    // No effect after a final message; without one the thread was terminated from outside, e.g. for lack of memory.
    worker.on("exit", (code) => resolve({ type: "defect", message: `the worker thread exited with code ${code}`, stack: "" }));
  });
}

/**
 * Ends the process by the signal itself: `process.exit` would wait for the worker, which may be inside ONNX Runtime.
 */
function killSelf(signal: StopSignal): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
