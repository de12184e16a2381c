/**
 * @file How long-running functions report progress and are aborted. They never print.
 */

import { setImmediate } from "node:timers/promises";
import type { Device } from "./device.ts";

/** Progress of one stage of the work. */
export interface ProgressEvent {
  /** Name of the stage, e.g. `scoring`. */
  readonly stage: string;
  /** Units done so far and in total; `total` may be unknown (null). */
  readonly done: number;
  readonly total: number | null;
  /** The unit of `done` and `total`, e.g. `tokens`, `bytes`, `layers`. */
  readonly unit: string;
  /** Progress of the whole run, once its stages are planned, which `pruneModel` does if it is given `onPlan`. */
  readonly run?: RunProgress;
}

/** Progress of a run over all of its stages. */
export interface RunProgress {
  /** Share of the run's time that has gone by, in [0, 1], as estimated now. It never falls. */
  readonly share: number;
  /** Estimated seconds that are left: as told before the run, corrected by the times that were needed so far. */
  readonly secondsLeft: number;
}

/** A stage of a run and the time that it will take. */
export interface StageTime {
  /** As progress events call it. */
  readonly stage: string;
  /** Estimated for this machine; 0 if there is nothing left to do. */
  readonly seconds: number;
  /** Those of them, at its end, in which it reports no progress. */
  readonly silentSeconds: number;
  /** Whether an earlier run did all of it. */
  readonly reused: boolean;
}

/** Options of every long-running function. */
export interface JobOptions {
  /** Receives progress. Called often; must not throw. */
  readonly onProgress?: (event: ProgressEvent) => void;
  /** On abort, the function throws the signal's reason at its next step and removes its partial output. */
  readonly signal?: AbortSignal;
  /** Maximum memory of the process in bytes, see `planMemory`. Default `defaultMemoryLimit()`. */
  readonly memoryLimit?: number;
  /** The device that computes the layers and the output head; operators it lacks run on the CPU. Default `cpu`. */
  readonly device?: Device;
}

/**
 * Yields to pending events (messages, signals), then throws if the job was aborted. Await it once per step of a long
 * loop.
 */
export async function pause(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}
