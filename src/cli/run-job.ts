/**
 * @file Runs a job in the worker thread; meanwhile the main thread handles progress and Ctrl-C.
 */

import { Worker } from "node:worker_threads";
import { CusprunError } from "../errors.ts";
import { disableTelemetry } from "../model/telemetry.ts";
import type { ProgressEvent, StageTime } from "../progress.ts";
import { describeError, type FromWorker, type Job, type ToWorker } from "./protocol.ts";

/** Signals that stop the job, with the exit code that shells expect for each. */
const STOP_SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

type StopSignal = keyof typeof STOP_SIGNALS;

/** Time for the job to notice the signal and to remove its partial output, before its thread is ended. */
const GRACE_MS = 5000;

/** Time for the thread to end. JavaScript is interrupted at once, but a native call such as ONNX Runtime's is not. */
const TERMINATION_MS = 1000;

/** A message after which the worker says nothing more. */
type Final = Exclude<FromWorker, { type: "progress" | "plan" }>;

/** How a job ended. */
export type Outcome = Exclude<Final, { type: "aborted" }> | { readonly type: "stopped"; readonly exitCode: number };

/** Callbacks of a running job. */
export interface JobListener {
  onProgress(event: ProgressEvent): void;
  /** Called once the stages of the job are planned, if they are. */
  onPlan(stages: readonly StageTime[]): void;
  /** Called on the first signal, while the worker removes its partial output. */
  onStopping(): void;
}

/**
 * Runs a job to its end. The first SIGINT or SIGTERM asks the worker to stop and to remove its temporary files. A
 * worker that does not end within `GRACE_MS` is terminated, or, inside a native call, the whole process; the next run
 * that writes to the same place removes what they leave. A second signal kills the process at once.
 * @param entry the worker's file. Only dist can be run: in src there is no worker.js next to this file.
 */
export async function runJob(
  job: Job,
  listener: JobListener,
  entry: URL = new URL("./worker.js", import.meta.url),
): Promise<Outcome> {
  // The worker cannot: its environment is a copy.
  disableTelemetry();
  const worker = new Worker(entry, { workerData: job, stdout: true });
  // Standard output carries only the result, whatever a library prints.
  worker.stdout.pipe(process.stderr);
  let stoppedBy: StopSignal | null = null;
  let grace: NodeJS.Timeout | undefined;
  const stop = (signal: StopSignal): void => {
    if (stoppedBy !== null) return killSelf(signal);
    stoppedBy = signal;
    listener.onStopping();
    worker.postMessage("abort" satisfies ToWorker);
    grace = setTimeout(() => void endWorker(worker, signal), GRACE_MS);
  };
  for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[]) process.on(signal, stop);
  try {
    const last = await finalMessage(worker, listener, () => stoppedBy !== null);
    if (last.type !== "aborted") return last;
    return { type: "stopped", exitCode: STOP_SIGNALS[stoppedBy ?? "SIGINT"] };
  } finally {
    clearTimeout(grace);
    for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[]) process.off(signal, stop);
    await worker.terminate();
  }
}

function finalMessage(worker: Worker, listener: JobListener, isStopping: () => boolean): Promise<Final> {
  return new Promise((resolve) => {
    worker.on("message", (message: FromWorker) => {
      if (message.type === "progress") listener.onProgress(message.event);
      else if (message.type === "plan") listener.onPlan(message.stages);
      else resolve(message);
    });
    worker.on("error", (error) => resolve(describeError(asHeapError(error))));
    // No effect after a final message; without one the thread was terminated, by `endWorker` or by Node.
    worker.on("exit", (code) =>
      resolve(
        isStopping() ? { type: "aborted" } : { type: "defect", message: `the worker thread exited with code ${code}`, stack: "" },
      ),
    );
  });
}

/** The thread runs out of memory for JavaScript values, which Node limits apart from all other memory. */
function asHeapError(error: Error): Error {
  if ((error as NodeJS.ErrnoException).code !== "ERR_WORKER_OUT_OF_MEMORY") return error;
  const parts = {
    where: "memory for JavaScript values",
    found: "a job that needs more than Node allows",
    expected: "at most what --max-old-space-size allows",
    remedy: "Use smaller input files, or run again with NODE_OPTIONS=--max-old-space-size=8192 (MiB)",
  };
  return new CusprunError("MEMORY_LIMIT", parts, { cause: error });
}

/** Ends the thread, and the process if the thread is inside a native call, which cannot be interrupted. */
async function endWorker(worker: Worker, signal: StopSignal): Promise<void> {
  const blocked = setTimeout(() => killSelf(signal), TERMINATION_MS);
  await worker.terminate();
  clearTimeout(blocked);
}

/**
 * Ends the process by the signal itself: `process.exit` would wait for the worker, which may be inside ONNX Runtime.
 */
function killSelf(signal: StopSignal): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
