/**
 * @file Full disks: one of the places is a file system that is too small for what the run writes there, in bytes or in
 * entries. Needs the right to mount.
 */

import { execFileSync } from "node:child_process";
import { checkInputs, checkLeft, checkNextRun, EMPTY, errorOf } from "./checks.ts";
import { type Ended, runToEnd } from "./command.ts";
import { argumentsOf, earlierOf, roomOf, usedRoom } from "./references.ts";
import { snapshotOf } from "./snapshot.ts";
import type { Trial, TrialSetting } from "./trial.ts";
import { clearPlaces, mountSmallDisk, type Place, resizeDisk, unmountSmallDisk } from "./workbench.ts";

/** Unit in which a small disk gives room. */
const PAGE_BYTES = 4096;

/** What moves each place elsewhere, as the remedy must name it. */
const SETTINGS: Readonly<Record<Place, RegExp>> = {
  out: /--out\b/,
  work: /--work\b/,
  cache: /\bCUSPRUN_CACHE\b/,
  temp: /\bTMPDIR\b/,
  home: /\bHOME\b/,
  here: /\bfolder\b/,
};

/** Runs a random command with a small disk in a random place, then checks. */
export async function tryFullDisk({ bench, references, random }: TrialSetting): Promise<Trial> {
  const reference = random.pick(references);
  const { command } = reference;
  const needed = await roomOf(bench, reference);
  // An empty place has one entry, its root.
  const used = [...needed].filter(([, { entries }]) => entries > 1);
  const [place, room] = random.pick(used);
  const earlier = place === "out" && random.uniform() < 0.3 ? await earlierOf(bench, reference) : null;
  const countsEntries = random.uniform() < 0.25 || room.bytes === 0;
  const pages = random.integer(1, room.bytes / PAGE_BYTES + 1);
  const entries = random.integer(1, room.entries + 1);

  await clearPlaces(bench);
  const inputs = await snapshotOf(bench.inputs);
  const path = bench.placeOf(place);
  mountSmallDisk(path, {});
  try {
    if (earlier !== null) execFileSync("cp", ["-a", `${earlier.folder}/.`, path]);
    const used = await usedRoom(path);
    resizeDisk(path, countsEntries ? { entries: used.entries - 1 + entries } : { bytes: used.bytes + PAGE_BYTES * pages });
    const ended = await runToEnd(argumentsOf(bench, command, earlier === null ? [] : ["--overwrite"]), bench.surroundings);
    const problems = [
      ...checkEnd(ended, place, path),
      ...(await checkLeft(bench, reference, {
        before: earlier?.snapshot ?? EMPTY,
        temporaries: false,
        partials: ended.exitCode !== 0,
      })),
      ...(await checkInputs(bench, inputs)),
    ];
    const had = countsEntries ? `${entries} of ${room.entries} entries` : `${pages * PAGE_BYTES} of ${room.bytes} bytes`;
    const end = `ended with ${ended.signal ?? ended.exitCode}`;
    return {
      group: `${command.name}: ${place}`,
      how: `${command.name}${earlier === null ? "" : " --overwrite"} with ${had} in '${place}', ${end}`,
      problems,
      stoppingMs: null,
      ended,
      afterwards: async () => {
        try {
          resizeDisk(path);
          return await checkNextRun(bench, reference, earlier !== null);
        } finally {
          unmountSmallDisk(path);
        }
      },
    };
  } catch (error) {
    unmountSmallDisk(path);
    throw error;
  }
}

/** A run succeeds, because what is missing can be done without, or it is refused and names the place and the remedy. */
function checkEnd(ended: Ended, place: Place, path: string): string[] {
  if (ended.hung) return ["did not end"];
  if (ended.exitCode === 0) return [];
  const error = errorOf(ended);
  if (ended.exitCode !== 6 || error?.code !== "DISK_FULL")
    return [`ended with ${ended.signal ?? ended.exitCode}: ${ended.stderr.slice(0, 400)}`];
  return [
    ...(error.where.startsWith(path) ? [] : [`names ${error.where}, not ${path}`]),
    ...(SETTINGS[place].test(error.remedy) ? [] : [`a full ${place} has the remedy '${error.remedy}'`]),
  ];
}
