/**
 * @file Full disks: one of the places is a file system that is too small for what the run writes there, in bytes or in
 * entries. Needs the right to mount.
 */

import { checkInputs, checkLeft, checkNextRun, EMPTY, errorOf } from "./checks.ts";
import { type Ended, runToEnd } from "./command.ts";
import { argumentsOf, measureRoom, oncePer } from "./references.ts";
import { snapshotOf } from "./snapshot.ts";
import type { Trial, TrialSetting } from "./trial.ts";
import { clearPlaces, enlargeDisk, mountSmallDisk, type Place, unmountSmallDisk } from "./workbench.ts";

/** Unit in which a small disk gives room. */
const PAGE_BYTES = 4096;

/** What moves each place elsewhere, as the remedy must name it. */
const SETTINGS: Readonly<Record<Place, RegExp>> = {
  out: /--out\b/,
  work: /--work\b/,
  cache: /\bCUSPRUN_CACHE\b/,
  temp: /\bTMPDIR\b/,
  home: /\bHOME\b/,
};

const roomOf = oncePer(measureRoom);

/** Runs a random command with a small disk in a random place, then checks. */
export async function tryFullDisk({ bench, references, random }: TrialSetting): Promise<Trial> {
  const reference = random.pick(references);
  const { command } = reference;
  const needed = await roomOf(bench, reference);
  // An empty place has one entry, its root.
  const used = [...needed].filter(([, { entries }]) => entries > 1);
  const [place, room] = random.pick(used);
  const countsEntries = random.uniform() < 0.25 || room.bytes === 0;
  const size = countsEntries
    ? { entries: random.integer(1, room.entries + 1) }
    : { bytes: PAGE_BYTES * random.integer(1, room.bytes / PAGE_BYTES + 1) };

  await clearPlaces(bench);
  const inputs = await snapshotOf(bench.inputs);
  const path = bench.placeOf(place);
  mountSmallDisk(path, size);
  try {
    const ended = await runToEnd(argumentsOf(bench, command), bench.env);
    const problems = [
      ...checkEnd(ended, place, path),
      ...(await checkLeft(bench, reference, { before: EMPTY, temporaries: false })),
      ...(await checkInputs(bench, inputs)),
    ];
    const had = countsEntries ? `${size.entries} of ${room.entries} entries` : `${size.bytes} of ${room.bytes} bytes`;
    return {
      group: `${command.name}: ${place}`,
      how: `${command.name} with ${had} in '${place}', ended with ${ended.signal ?? ended.exitCode}`,
      problems,
      stoppingMs: null,
      ended,
      afterwards: async () => {
        try {
          enlargeDisk(path);
          return await checkNextRun(bench, reference);
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
