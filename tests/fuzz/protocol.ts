/**
 * @file Messages between the fuzzer and its worker processes.
 */

import type { FaultKind, Outcome } from "./target.ts";

/** Name of the file with the index that a worker is running, a float64; −1 between inputs. */
export const STATE_FILE = "state";

/** Tasks of a worker. Indices `[from, to)`. */
export type ToWorker =
  | { readonly type: "range"; readonly seed: number; readonly from: number; readonly to: number; readonly maxBytes: number }
  | { readonly type: "input"; readonly seed: number; readonly index: number }
  | { readonly type: "input"; readonly path: string }
  | { readonly type: "input"; readonly generated: string };

/** A fault and the input that caused it. */
export interface Fault {
  readonly index: number;
  readonly fault: FaultKind;
  readonly detail: string;
}

/** What became of a range of inputs. */
export interface RangeReport {
  /** The first index that was not run: the range's end, unless memory ran out before. */
  readonly to: number;
  accepted: number;
  /** Refused inputs by code. */
  readonly refused: Record<string, number>;
  readonly faults: Fault[];
  slowest: { index: number; elapsedMs: number };
  /** Largest resident memory of the process. */
  readonly peakBytes: number;
  /** Whether the process must be replaced. */
  readonly replace: boolean;
  /** Accepted inputs that a second reader was shown. */
  shown: number;
  /** Refused inputs that the second reader accepts, of those that it was shown, by code. */
  readonly stricter: Record<string, number>;
}

/** Answers of a worker. */
export type FromWorker =
  | { readonly type: "ready" }
  | { readonly type: "range"; readonly report: RangeReport }
  /** The fuzzer itself failed: there is no such input. */
  | { readonly type: "failed"; readonly detail: string }
  | { readonly type: "input"; readonly outcome: Outcome; readonly elapsedMs: number; readonly peakBytes: number };
