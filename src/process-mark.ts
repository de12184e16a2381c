/**
 * @file Which process a temporary file belongs to, and whether that process still runs. A mark names the machine (its
 * boot and its process namespace, so that containers differ), the process id, and the time the process started, so that
 * a reused id is not taken for the same process.
 */

import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** The form of a mark: machine, process id, start in clock ticks since boot (0 where the system does not tell). */
export const MARK_PATTERN = "[0-9a-f]{12}-\\d+-\\d+";

/** Place of the fields of `/proc/{pid}/stat` after the command in parentheses. Source: proc_pid_stat(5). */
const STATE_FIELD = 0;
const START_TIME_FIELD = 19;

/**
 * `elsewhere`: it ran on another machine, in another container, or before this machine was restarted, so that it cannot
 * be looked up from here.
 */
export type ProcessState = "running" | "ended" | "elsewhere";

let known: string | null = null;

/** The mark of this process. */
export function ownMark(): string {
  known ??= `${machine()}-${process.pid}-${processStat(process.pid)?.startTicks ?? 0}`;
  return known;
}

/** Whether the process with a mark still runs. A zombie does not. */
export function processState(mark: string): ProcessState {
  const [where, pid, startTicks] = mark.split("-");
  if (where !== machine()) return "elsewhere";
  if (!exists(Number(pid))) return "ended";
  const stat = processStat(Number(pid));
  // Without more to go by, any process with this id counts as the same one.
  if (stat === null || startTicks === "0") return "running";
  return stat.startTicks === startTicks && stat.state !== "Z" && stat.state !== "X" ? "running" : "ended";
}

function machine(): string {
  const parts = [hostname(), fileOrEmpty("/proc/sys/kernel/random/boot_id"), linkOrEmpty("/proc/self/ns/pid")];
  return createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 12);
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function processStat(pid: number): { readonly state: string; readonly startTicks: string } | null {
  // The command may itself contain spaces and parentheses.
  const fields = fileOrEmpty(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, "")
    .split(" ");
  const [state, startTicks] = [fields[STATE_FIELD], fields[START_TIME_FIELD]];
  return state === undefined || startTicks === undefined ? null : { state, startTicks };
}

function fileOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function linkOrEmpty(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
