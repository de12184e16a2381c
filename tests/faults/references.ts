/**
 * @file What an unbroken run of each command gives: the bytes, the time, its calls of the file system and the room that
 * it needs. Trials are compared with it.
 */

import { execFileSync } from "node:child_process";
import { mkdir, readFile, rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Ended, runToEnd } from "./command.ts";
import { differences, snapshotOf, type Snapshot } from "./snapshot.ts";
import {
  clearPlaces,
  EMPTY_PLACES,
  mountSmallDisk,
  outputOf,
  PLACES,
  type Place,
  type TriedCommand,
  unmountSmallDisk,
  type Workbench,
} from "./workbench.ts";

/** Most room that a run takes in a place. */
export interface Room {
  readonly bytes: number;
  readonly entries: number;
}

/** An unbroken run. */
export interface Reference {
  readonly command: TriedCommand;
  /** Everything in the places after it. */
  readonly after: Snapshot;
  readonly elapsedMs: number;
  /** Its calls that write to the places. */
  readonly writeCalls: readonly TracedCall[];
}

/** The output of the same command for the other inputs, which `--overwrite` replaces. */
export interface EarlierOutput {
  /** A folder with a copy of it. */
  readonly folder: string;
  readonly snapshot: Snapshot;
}

/** How often memory of a small disk is looked at. */
const ROOM_POLL_MS = 2;

/** The arguments of a run. */
export function argumentsOf(bench: Workbench, command: TriedCommand, more: readonly string[] = []): string[] {
  return [...command.args, "--out", outputOf(bench, command), "--json", ...more];
}

/** Runs a command unbroken, twice. @throws Error if the two runs do not give the same bytes. */
export async function makeReference(bench: Workbench, command: TriedCommand): Promise<Reference> {
  const calls = await traceCalls(bench, command, "write", bench.places);
  const traced = await snapshotOf(bench.places);
  await clearPlaces(bench);
  const plain = await runToEnd(argumentsOf(bench, command), bench.surroundings);
  mustSucceed(command, plain);
  const after = await snapshotOf(bench.places);
  const differing = differences(strict(traced), strict(after));
  if (differing.length > 0) throw new Error(`two runs of ${command.name} differ: ${differing.join(", ")}`);
  return { command, after, elapsedMs: plain.elapsedMs, writeCalls: calls };
}

async function countReadCalls(bench: Workbench, command: TriedCommand): Promise<ReadonlyMap<string, number>> {
  const calls = await traceCalls(bench, command, "read", bench.inputs);
  return new Map(command.reads.map((name) => [name, calls.filter(({ path }) => path === join(bench.inputs, name)).length]));
}

/** The calls of an unbroken run on a folder. */
async function traceCalls(
  bench: Workbench,
  command: TriedCommand,
  calls: "write" | "read",
  under: string,
): Promise<readonly TracedCall[]> {
  const trace = join(bench.folder, "trace");
  await clearPlaces(bench);
  mustSucceed(command, await runToEnd(argumentsOf(bench, command), bench.surroundings, { atCall: { calls, under, trace } }));
  return takeTrace(trace);
}

/** A call of the file system. */
export interface TracedCall {
  /** From 1, in its thread. */
  readonly number: number;
  /** Name of the function, such as `rename`. */
  readonly name: string;
  readonly path: string;
}

/** Reads and removes the trace of a run. */
export async function takeTrace(trace: string): Promise<readonly TracedCall[]> {
  const lines = (await readFile(trace, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  await rm(trace, { force: true });
  return lines.map((line) => {
    const [, number, name = "", ...path] = line.split(" ");
    return { number: Number(number), name, path: path.join(" ") };
  });
}

async function makeEarlier(bench: Workbench, command: TriedCommand): Promise<EarlierOutput> {
  await clearPlaces(bench);
  const args = argumentsOf(bench, command).map((word) => word.replace(bench.inputs, bench.otherInputs));
  mustSucceed(command, await runToEnd(args, bench.surroundings));
  const folder = join(bench.folder, "earlier", command.name);
  await mkdir(dirname(folder), { recursive: true });
  execFileSync("cp", ["-a", bench.placeOf("out"), folder]);
  return { folder, snapshot: await snapshotOf(folder) };
}

/** Makes something of each reference once, when it is first asked for. */
function oncePer<T>(
  make: (bench: Workbench, command: TriedCommand) => Promise<T>,
): (bench: Workbench, reference: Reference) => Promise<T> {
  const made = new WeakMap<Reference, T>();
  return async (bench, reference) => {
    const known = made.get(reference) ?? (await make(bench, reference.command));
    made.set(reference, known);
    return known;
  };
}

/** The output to be replaced of each command. */
export const earlierOf = oncePer(makeEarlier);

/** The number of the calls of each command that read each input, by its name within the folder of inputs. */
export const readCallsOf = oncePer(countReadCalls);

/** The room that a run takes in each place. Needs the right to mount. */
export const roomOf = oncePer(measureRoom);

async function measureRoom(bench: Workbench, command: TriedCommand): Promise<ReadonlyMap<Place, Room>> {
  await clearPlaces(bench);
  for (const place of PLACES) mountSmallDisk(bench.placeOf(place), {});
  const most = new Map<Place, Room>(PLACES.map((place) => [place, { bytes: 0, entries: 0 }]));
  const look = async (): Promise<void> => {
    for (const place of PLACES) {
      const known = most.get(place)!;
      const { bytes, entries } = await usedRoom(bench.placeOf(place));
      most.set(place, { bytes: Math.max(known.bytes, bytes), entries: Math.max(known.entries, entries) });
    }
  };
  const timer = setInterval(() => void look(), ROOM_POLL_MS);
  try {
    mustSucceed(command, await runToEnd(argumentsOf(bench, command), bench.surroundings));
    await look();
  } finally {
    clearInterval(timer);
    for (const place of PLACES) unmountSmallDisk(bench.placeOf(place));
  }
  return most;
}

/** What is used of a disk. */
export async function usedRoom(path: string): Promise<Room> {
  const { blocks, bfree, bsize, files, ffree } = await statfs(path);
  return { bytes: (blocks - bfree) * bsize, entries: files - ffree };
}

/** The entries that must be the same in every run: those of the outputs, the work folder and the cache. */
export function strict(places: Snapshot): Snapshot {
  return new Map([...places].filter(([name]) => !EMPTY_PLACES.test(name)));
}

/** What is left where nothing should be: in the folder for temporary files, the home folder and the current one. */
export function strays(places: Snapshot): readonly string[] {
  const left = [...places].filter(([name, digest]) => EMPTY_PLACES.test(name) && digest !== "folder");
  return left.map(([name]) => name);
}

function mustSucceed(command: TriedCommand, { exitCode, signal, stderr }: Ended): void {
  if (exitCode !== 0) throw new Error(`an unbroken ${command.name} ended with ${signal ?? exitCode}:\n${stderr}`);
}
