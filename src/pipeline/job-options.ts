/**
 * @file The options of a call that all of its steps share.
 */

import type { JobOptions } from "../progress.ts";
import { defined } from "./defined.ts";

/** The job's options alone, without the call's other options. */
export function jobOptions({ onProgress, signal, memoryLimit, device }: JobOptions): JobOptions {
  return defined({ onProgress, signal, memoryLimit, device });
}
