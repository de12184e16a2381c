/**
 * @file How long-running functions tell how far they are, and how they are stopped. They never print.
 */

import { setImmediate } from "node:timers/promises";
import type { Device } from "./device.ts";

/** How far one stage of the work is. */
export interface ProgressEvent {
  /** What is being done, e.g. `scoring`. */
  readonly stage: string;
  /** Units done so far and in all; `total` may be unknown (null). */
  readonly done: number;
  readonly total: number | null;
  /** What is counted, e.g. `tokens`, `bytes`, `layers`. */
  readonly unit: string;
}

/** What every long-running function takes. */
export interface JobOptions {
  /** Hears how far the work is. Called often; must not throw. */
  readonly onProgress?: (event: ProgressEvent) => void;
  /** Aborting makes the function throw the signal's reason at its next step and remove what it had begun to write. */
  readonly signal?: AbortSignal;
  /** Most bytes of memory that the process may need, see `planMemory`. Default `defaultMemoryLimit()`. */
  readonly memoryLimit?: number;
  /** What computes the layers and the output head; operators that it lacks run on the CPU. Default `cpu`. */
  readonly device?: Device;
}

/** Lets pending events in (messages, signals), then throws if the job was aborted. To be awaited once per step of a long loop. */
export async function pause(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}
