/**
 * @file Shows `ProgressEvent`s on stderr: one live line on a terminal, otherwise a line at the start of each stage and
 * at every further 10%. Share and time left are those of the whole run if its stages are planned, otherwise the
 * stage's.
 */

import type { ProgressEvent } from "../progress.ts";
import { displayWidth, formatBytes, formatCount, formatDuration } from "../report/format.ts";

/** Minimum time between two redraws of the live line; more often would only flicker. */
const REDRAW_MS = 100;
/** Minimum time between two lines of a log, however fast the work progresses. */
const LOG_MS = 1000;
/** Rate and remaining time are shown only after this time: earlier they would be guesses from a single step. */
const RATE_AFTER_MS = 1000;
const BAR_COLUMNS = 20;

/** The stream that progress is written to, such as `process.stderr`. */
export interface ProgressTarget {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Shows progress. Call `finish` before anything else is printed to the same stream. */
export class ProgressView {
  readonly #target: ProgressTarget;
  readonly #now: () => number;
  #stage: string | null = null;
  #startedAtMs = 0;
  #firstDone = 0;
  #drawnAtMs = -Infinity;
  #tenths = 0;
  #lineShown = false;

  /** @param now a clock in milliseconds. */
  constructor(target: ProgressTarget, now: () => number = () => performance.now()) {
    this.#target = target;
    this.#now = now;
  }

  /** Shows the next event. */
  show(event: ProgressEvent): void {
    const isNew = event.stage !== this.#stage;
    if (isNew) this.#begin(event);
    if (this.#target.isTTY === true) this.#redraw(event, isNew);
    else this.#log(event, isNew);
  }

  /** Prints a message that is not progress, e.g. that the job is being stopped. */
  note(text: string): void {
    this.finish();
    this.#target.write(`${text}\n`);
  }

  /** Removes the live line. */
  finish(): void {
    if (this.#lineShown) this.#target.write("\r\u001b[K");
    this.#lineShown = false;
    this.#drawnAtMs = -Infinity;
  }

  #begin(event: ProgressEvent): void {
    this.#stage = event.stage;
    this.#startedAtMs = this.#now();
    this.#firstDone = event.done;
    this.#tenths = event.run === undefined ? 0 : Math.floor(event.run.share * 10);
  }

  #redraw(event: ProgressEvent, isNew: boolean): void {
    const now = this.#now();
    if (!isNew && now - this.#drawnAtMs < REDRAW_MS && event.done !== event.total) return;
    this.#drawnAtMs = now;
    const share = shareOf(event);
    const bar =
      share === null ? "" : `  ${"█".repeat(Math.round(share * BAR_COLUMNS)).padEnd(BAR_COLUMNS, "░")} ${percent(share)}`;
    const line = `${event.stage}${bar}  ${this.#figures(event)}`;
    this.#target.write(`\r\u001b[K${fit(line, (this.#target.columns ?? 80) - 1)}`);
    this.#lineShown = true;
  }

  #log(event: ProgressEvent, isNew: boolean): void {
    const share = shareOf(event);
    const tenths = share === null ? 0 : Math.floor(share * 10);
    if (!isNew && (tenths <= this.#tenths || this.#now() - this.#drawnAtMs < LOG_MS)) return;
    this.#tenths = tenths;
    this.#drawnAtMs = this.#now();
    this.#target.write(`${event.stage}${share === null ? "" : ` ${percent(share)}`}  ${this.#figures(event)}\n`);
  }

  /** `1.20M of 2.90M tokens  31.0k/s  1 min 02 s left`; of a whole run the time left comes first. */
  #figures({ done, total, unit, run }: ProgressEvent): string {
    const show = (n: number): string => (unit === "bytes" ? formatBytes(n) : formatCount(n));
    const amount = `${show(done)}${total === null ? "" : ` of ${show(total)}`}${unit === "bytes" ? "" : ` ${unit}`}`;
    const parts = run === undefined ? [amount] : [`${formatDuration(run.secondsLeft * 1000)} left`, amount];
    const elapsedMs = this.#now() - this.#startedAtMs;
    const gained = done - this.#firstDone;
    if (elapsedMs >= RATE_AFTER_MS && gained > 0) {
      const perMs = gained / elapsedMs;
      parts.push(`${perMs * 1000 < 10 && unit !== "bytes" ? (perMs * 1000).toFixed(1) : show(perMs * 1000)}/s`);
      if (run === undefined && total !== null && done < total) parts.push(`${formatDuration((total - done) / perMs)} left`);
    }
    return parts.join("  ");
  }
}

function shareOf({ done, total, run }: ProgressEvent): number | null {
  if (run !== undefined) return run.share;
  return total === null || total <= 0 ? null : Math.min(1, done / total);
}

function percent(share: number): string {
  return `${Math.floor(share * 100)}%`.padStart(4);
}

/** Truncates a line so that the terminal does not wrap it: redrawing would not erase a wrapped line. */
function fit(line: string, columns: number): string {
  let cut = line;
  while (displayWidth(cut) > columns) cut = cut.slice(0, -1);
  return cut;
}
