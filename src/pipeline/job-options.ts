/**
 * @file What of a call's options every step of it takes.
 */

import type { JobOptions } from "../progress.ts";
import { defined } from "./defined.ts";

type Undefinable<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** The options of the job alone, without those of the call. */
export function jobOptions({ onProgress, signal, memoryLimit, device }: Undefinable<JobOptions>): JobOptions {
  return defined({ onProgress, signal, memoryLimit, device });
}
