/**
 * @file Progress of a whole run: the times told for its stages, corrected by the times that they need.
 */

import type { ProgressEvent, RunProgress, StageTime } from "../progress.ts";

/**
 * Told seconds, as a share of the run's, that count as needed as told: the first steps of a stage say little about its
 * pace.
 */
const TRUST = 0.05;

/** A stage whose first report comes so many times sooner than told goes on where an earlier run stopped. */
const RESUMED_PACE = 10;

/**
 * Adds `run` to the events of a run.
 * @param stages with their told times, in order.
 * @param now a clock in milliseconds.
 */
export function withRunProgress(
  stages: readonly StageTime[],
  onProgress: (event: ProgressEvent) => void,
  now: () => number = () => performance.now(),
): (event: ProgressEvent) => void {
  const clock = new RunClock(stages, now);
  return (event) => onProgress({ ...event, run: clock.at(event) });
}

/** The time of a run, stage by stage. In seconds. */
class RunClock {
  readonly #stages: readonly StageTime[];
  readonly #now: () => number;
  readonly #startedAtMs: number;
  #lastAtMs: number;
  readonly #trusted: number;
  /** The current stage: its number, when it began, what it had done when it began, and what it has done. */
  #index = 0;
  #stageAtMs: number;
  #resumedAt: number | null = null;
  #stageShare = 0;
  /** Whether its silent end is over too, which a second report of all steps says. */
  #isOver = false;
  /** Told time of the stages that are finished, without what an earlier run had done of them. */
  #toldBefore = 0;
  #share = 0;

  constructor(stages: readonly StageTime[], now: () => number) {
    this.#stages = stages;
    this.#now = now;
    this.#startedAtMs = now();
    this.#lastAtMs = this.#startedAtMs;
    this.#stageAtMs = this.#startedAtMs;
    this.#trusted = TRUST * stages.reduce((sum, { seconds }) => sum + seconds, 0);
  }

  at({ stage, done, total }: ProgressEvent): RunProgress {
    const share = total === null || total <= 0 ? 0 : Math.min(1, done / total);
    this.#enter(stage, share);
    // Events of work that is no stage, such as selecting, belong to the time of the stage before.
    if (this.#stages[this.#index]?.stage === stage) this.#advance(share);
    const elapsed = (this.#now() - this.#startedAtMs) / 1000;
    const secondsLeft = this.#secondsLeft(elapsed);
    this.#share = Math.max(this.#share, elapsed + secondsLeft > 0 ? elapsed / (elapsed + secondsLeft) : 0);
    this.#lastAtMs = this.#now();
    return { share: this.#share, secondsLeft };
  }

  /** Goes on to the stage of an event; formats are written one after the other, in stages of one name. */
  #enter(stage: string, share: number): void {
    const from = this.#stages[this.#index]?.stage === stage && share >= this.#stageShare ? this.#index : this.#index + 1;
    const next = this.#stages.findIndex((each, index) => index >= from && each.stage === stage);
    if (next <= this.#index) return;
    this.#toldBefore += this.#toldOfStage();
    for (const { seconds } of this.#stages.slice(this.#index + 1, next)) this.#toldBefore += seconds;
    this.#index = next;
    // Its first report comes after its first step.
    this.#stageAtMs = this.#lastAtMs;
    this.#resumedAt = null;
    this.#isOver = false;
    this.#stageShare = 0;
  }

  #advance(share: number): void {
    const needed = (this.#now() - this.#stageAtMs) / 1000;
    const told = this.#toldOfSteps(share);
    this.#resumedAt ??= told > RESUMED_PACE * needed && told > this.#trusted ? share : 0;
    this.#isOver = share === 1 && this.#stageShare === 1;
    this.#stageShare = share;
  }

  /** Told seconds of the steps of the current stage up to a share of them, without what an earlier run did. */
  #toldOfSteps(share: number): number {
    const { seconds = 0, silentSeconds = 0 } = this.#stages[this.#index] ?? {};
    return (share - (this.#resumedAt ?? 0)) * (seconds - silentSeconds);
  }

  /** Told seconds of the whole stage. */
  #toldOfStage(): number {
    return this.#toldOfSteps(1) + (this.#stages[this.#index]?.silentSeconds ?? 0);
  }

  /** The rest of the stage at its own pace, and the stages after it at that of the whole run. */
  #secondsLeft(elapsed: number): number {
    const ownTold = this.#isOver ? this.#toldOfStage() : this.#toldOfSteps(this.#stageShare);
    const own = (this.#now() - this.#stageAtMs) / 1000;
    const paceOf = (needed: number, told: number): number =>
      this.#trusted > 0 ? (needed + this.#trusted) / (told + this.#trusted) : 1;
    const later = this.#stages.slice(this.#index + 1).reduce((sum, { seconds }) => sum + seconds, 0);
    const rest = this.#toldOfStage() - ownTold;
    return rest * paceOf(own, ownTold) + later * paceOf(elapsed, this.#toldBefore + ownTold);
  }
}
