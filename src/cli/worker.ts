/**
 * @file The worker thread: runs one job. ONNX Runtime blocks the thread that it runs on, so progress, signals and
 * Ctrl-C are handled on another.
 */

import { parentPort, workerData } from "node:worker_threads";
import type { ProgressEvent, StageTime } from "../progress.ts";
import { runCommand } from "./jobs.ts";
import { describeError, type FromWorker, type Job, type ToWorker } from "./protocol.ts";

const port = parentPort;
if (port === null) throw new Error("worker.js must be started by cusprun");

const abort = new AbortController();
port.on("message", (message: ToWorker) => {
  if (message === "abort") abort.abort();
});

function post(message: FromWorker): void {
  port?.postMessage(message);
}

try {
  const onProgress = (event: ProgressEvent): void => post({ type: "progress", event });
  const onPlan = (stages: readonly StageTime[]): void => post({ type: "plan", stages });
  post({ type: "result", result: await runCommand(workerData as Job, { signal: abort.signal, onProgress }, onPlan) });
} catch (error) {
  post(abort.signal.aborted ? { type: "aborted" } : describeError(error));
} finally {
  port.close();
}
