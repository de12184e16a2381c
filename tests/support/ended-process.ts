/**
 * @file The marks of processes that are not this one, for what they leave behind.
 */

import { ownMark } from "../../src/process-mark.ts";

/** A process id that no process has: above the largest on Linux. */
const DEAD_PROCESS = 4_194_305;

const [machine = "", , start = ""] = ownMark().split("-");

/** Of a process of this machine that has ended. */
export const ENDED_MARK = `${machine}-${DEAD_PROCESS}-${start}`;

/** Of this process' id before it was reused. */
export const REUSED_MARK = `${machine}-${process.pid}-${Number(start) + 1}`;

/** Of a process on another machine. */
export const ELSEWHERE_MARK = `0123456789ab-${process.pid}-${start}`;

/** The text by which such a process owns a stage. */
export function ownerText(mark: string): string {
  return JSON.stringify({ mark, pid: 4711, host: "other", since: "2026-01-01T00:00:00.000Z", sweeps: false });
}
