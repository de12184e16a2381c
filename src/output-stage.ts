/**
 * @file The stage of an output: a hidden folder next to the output, or inside it, that reserves the output's place for
 * one process while it works, and in which the output is written. Its name follows from the output's, so that a second
 * run finds it, and so that the next run can finish or remove what a killed one left.
 *
 *     owner-{n}   the process that has the place: the lowest that still runs
 *     new         the output, until it is complete
 *     swap.json   present once `new` is complete and takes its place
 *     old         what it replaces
 */

import { createHash } from "node:crypto";
import { lstat, mkdir, open, readdir, readFile, rename, rm, rmdir, unlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { CusprunError } from "./errors.ts";
import { syncTree } from "./folders.ts";
import { isJsonObject, parseJson } from "./json.ts";
import { ownMark, processState } from "./process-mark.ts";
import { systemCodeOf } from "./system-errors.ts";
import { ageMs, sweepTemporaries } from "./temporary-files.ts";
import { finishSwap, refuseUnfinished, NEW_NAME, OLD_NAME, SWAP_NAME, SWAP_PART_NAME } from "./output-swap.ts";

const STAGE_NAME = /^\.cusprun-out-[0-9a-f]{16}$/;
const OWNER_NAME = /^owner-(\d+)$/;

const PROBE_NAMES = ["probe", "probe-renamed"] as const;
/** Everything in a stage but its owners. The swap goes after what it is about. */
const CONTENT_NAMES = [NEW_NAME, OLD_NAME, SWAP_NAME, SWAP_PART_NAME, ...PROBE_NAMES];

/** How often an owner shows that it is alive, for processes on other machines and in other containers. */
const SIGN_OF_LIFE_MS = 15_000;

/**
 * Such a process takes an owner for dead after this long without a sign. Signs are late while a computation holds the
 * thread, at most for the seconds that one step of one layer takes.
 */
const DEAD_AFTER_MS = 600_000;

/** How long the text of an owner that has only just appeared is waited for, and in what steps. */
const OWNER_WAIT_MS = 1000;
const OWNER_WAIT_STEP_MS = 50;

/** Attempts to get a place that others keep leaving, or that a run is just clearing of a killed one's files. */
const MAX_ATTEMPTS = 200;

/** Name of the stage of an output. Letter case does not count, as on some file systems. */
export function stageName(outputName: string): string {
  const digest = createHash("sha256").update(outputName.normalize("NFC").toLowerCase()).digest("hex");
  return `.cusprun-out-${digest.slice(0, 16)}`;
}

/** A place that this process has reserved. */
export class OutputStage {
  readonly #folder: string;
  readonly #owner: string;
  readonly #signs: NodeJS.Timeout;

  private constructor(folder: string, owner: string) {
    this.#folder = folder;
    this.#owner = owner;
    this.#signs = setInterval(() => void showLife(owner), SIGN_OF_LIFE_MS).unref();
  }

  /**
   * Reserves a place, after finishing or removing what an ended process left there.
   * @param folder path of the stage; its parent exists.
   * @param shown the output, for messages.
   * @param sweeps whether it is only opened to be cleared: others then wait for that instead of being refused.
   * @throws CusprunError `OUTPUT_BUSY` if a running process has the place; the system's errors.
   */
  static async open(folder: string, shown: string, sweeps = false): Promise<OutputStage> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      await makeStage(folder);
      const owners = await ownersOf(folder);
      if (await isBeingSwept(folder, owners, shown)) {
        await setTimeout(OWNER_WAIT_STEP_MS);
        continue;
      }
      const number = (owners.at(-1) ?? 0) + 1;
      const owner = join(folder, `owner-${number}`);
      try {
        await writeFile(owner, ownerText(sweeps), { flag: "wx" });
      } catch (error) {
        // Another process was faster to take the place, or to leave it.
        if (systemCodeOf(error) === "EEXIST" || systemCodeOf(error) === "ENOENT") continue;
        await unlink(owner).catch(() => undefined);
        await rmdir(folder).catch(() => undefined);
        throw error;
      }
      const stage = new OutputStage(folder, owner);
      try {
        const earlier = (await ownersOf(folder)).filter((other) => other < number);
        if (await isBeingSwept(folder, earlier, shown)) throw busy(folder, shown, "a run that is clearing the place");
        await finishSwap(folder);
        await stage.#clear();
        await proveWritable(folder);
        return stage;
      } catch (error) {
        clearInterval(stage.#signs);
        await unlink(owner).catch(() => undefined);
        // It stays if it holds something, for the next run there.
        await rmdir(folder).catch(() => undefined);
        throw error;
      }
    }
    throw busy(folder, shown, "processes that keep taking and leaving the place");
  }

  /** Where the output is written. Nothing is there at first. */
  get content(): string {
    return join(this.#folder, NEW_NAME);
  }

  /** Path of the stage. */
  get folder(): string {
    return this.#folder;
  }

  /** Gives the place back. What cannot be removed is left to the next run. */
  async close(): Promise<void> {
    clearInterval(this.#signs);
    await this.#clear().catch(() => undefined);
    await unlink(this.#owner).catch(() => undefined);
    await rmdir(this.#folder).catch(() => undefined);
  }

  /** Removes what stages hold, but for the owner, and nothing else that somebody may have put there. */
  async #clear(): Promise<void> {
    await refuseUnfinished(this.#folder);
    for (const name of CONTENT_NAMES) await rm(join(this.#folder, name), { recursive: true, force: true });
    await sweepTemporaries(this.#folder);
    for (const number of await ownersOf(this.#folder)) {
      const path = join(this.#folder, `owner-${number}`);
      if (path !== this.#owner) await rm(path, { force: true });
    }
  }
}

/**
 * Removes what ended processes left in a folder: temporary files, and stages, after finishing those that were about to
 * take their place. Does nothing if there is no such folder.
 */
export async function sweepFolder(folder: string): Promise<void> {
  await sweepTemporaries(folder);
  for (const name of await readdir(folder).catch(() => [])) {
    if (!STAGE_NAME.test(name)) continue;
    const path = join(folder, name);
    // Empty, it is about to be taken, or was just left. Whoever is about to take it makes it again.
    const isGone = await rmdir(path).then(
      () => true,
      () => false,
    );
    if (isGone) continue;
    const owners = await ownersOf(path).catch(() => []);
    // A stage whose owner runs, or that this user may not remove, stays.
    const isFree = await isBeingSwept(path, owners, folder).then(
      (isSwept) => !isSwept,
      () => false,
    );
    const stage = isFree ? await OutputStage.open(path, folder, true).catch(() => null) : null;
    await stage?.close();
  }
}

/** Makes a stage, unless there is one. Not a link, which would lead to somebody's own folder. */
async function makeStage(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (systemCodeOf(error) !== "EEXIST" || (await lstat(folder).catch(() => null))?.isSymbolicLink() === true) throw error;
  }
}

/** The names in a folder, sorted, without the stage of this folder itself. */
export async function entriesOf(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name !== stageName(".")).toSorted();
}

/** Writes a file in a stage through to the disk, and renames it: what the output will need. */
async function proveWritable(folder: string): Promise<void> {
  const [path, renamed] = PROBE_NAMES.map((name) => join(folder, name)) as [string, string];
  try {
    await writeFile(path, "probe");
    await syncTree(path);
    await rename(path, renamed);
  } finally {
    // On a full disk, an empty file may have been made.
    for (const each of [path, renamed]) await rm(each, { force: true });
  }
}

/** The numbers of a stage's owners, ascending. */
async function ownersOf(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemCodeOf(error) === "ENOENT") return [];
    throw error;
  });
  return names.flatMap((name) => Number(OWNER_NAME.exec(name)?.[1] ?? NaN) || []).toSorted((a, b) => a - b);
}

/**
 * Whether one of a stage's owners is only clearing it.
 * @throws CusprunError `OUTPUT_BUSY` if one of them is running and does more than that.
 */
async function isBeingSwept(folder: string, owners: readonly number[], shown: string): Promise<boolean> {
  for (const number of owners) {
    const path = join(folder, `owner-${number}`);
    const owner = await readOwner(path);
    if (owner === null) continue;
    if (owner.sweeps && processState(owner.mark) === "running") return true;
    await refuseIfRunning(folder, path, owner, shown);
  }
  return false;
}

async function refuseIfRunning(folder: string, path: string, owner: Owner, shown: string): Promise<void> {
  const { mark, pid, host, since } = owner;
  const state = processState(mark);
  if (state === "ended") return;
  if (state === "running") throw busy(folder, shown, `another run that writes there (process ${pid}, since ${since})`);
  const age = await ageMs(path);
  if (age > DEAD_AFTER_MS) return;
  const seconds = Math.round(age / 1000);
  throw busy(folder, shown, `another run that writes there (process ${pid} on ${host}, last seen ${seconds} s ago)`, true);
}

function busy(folder: string, shown: string, found: string, isElsewhere = false): CusprunError {
  const ended = `; if it has ended, remove ${folder}, or wait ${DEAD_AFTER_MS / 60_000} minutes`;
  return new CusprunError("OUTPUT_BUSY", {
    where: shown,
    found,
    expected: "a place that no other run is using",
    remedy: `Wait until it ends, or choose another --out${isElsewhere ? ended : ""}`,
  });
}

interface Owner {
  readonly mark: string;
  readonly pid: number;
  readonly host: string;
  readonly since: string;
  /** Whether it only clears the stage. */
  readonly sweeps: boolean;
}

function ownerText(sweeps: boolean): string {
  const owner: Owner = { mark: ownMark(), pid: process.pid, host: hostname(), since: new Date().toISOString(), sweeps };
  return JSON.stringify(owner);
}

/** Null for one that is gone, and for a text that was never completed: its process was killed at that moment. */
async function readOwner(path: string): Promise<Owner | null> {
  for (let waitedMs = 0; waitedMs <= OWNER_WAIT_MS; waitedMs += OWNER_WAIT_STEP_MS) {
    try {
      const owner = parseJson(await readFile(path, "utf8"));
      if (isJsonObject(owner) && typeof owner["mark"] === "string") return owner as unknown as Owner;
      return null;
    } catch (error) {
      if (!(error instanceof SyntaxError)) return null;
    }
    await setTimeout(OWNER_WAIT_STEP_MS);
  }
  return null;
}

/** Rewrites the first byte, so that the time of the change is one of the file system's own clock. */
async function showLife(owner: string): Promise<void> {
  const file = await open(owner, "r+").catch(() => null);
  await file?.write("{", 0).catch(() => undefined);
  await file?.close().catch(() => undefined);
}
