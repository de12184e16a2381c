/**
 * @file What of a call's options every step of it takes.
 */

import type { JobOptions } from "../progress.ts";
import { defined } from "./defined.ts";

/** The options of the job alone, without those of the call. */
export function jobOptions({ onProgress, signal, memoryLimit, device }: JobOptions): JobOptions {
  return defined({ onProgress, signal, memoryLimit, device });
}
