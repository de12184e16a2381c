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
