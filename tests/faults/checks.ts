/**
 * @file What must hold after a fault: inputs are unchanged, outputs are whole or absent, nothing is left, and the next
 * run gives the same bytes as an unbroken one. Each check returns what is wrong, in words.
 */

import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Ended, runToEnd } from "./command.ts";
import { argumentsOf, type Reference, strays, strict } from "./references.ts";
import { differences, holdsSame, partOf, snapshotOf, type Snapshot } from "./snapshot.ts";
import type { Workbench } from "./workbench.ts";

/** An error as `--json` prints it. */
export interface PrintedError {
  readonly code: string;
  readonly where: string;
  readonly remedy: string;
}

/** The error that a run printed, or null. */
export function errorOf({ stderr }: Ended): PrintedError | null {
  try {
    return (JSON.parse(stderr.slice(stderr.indexOf("{"))) as { error: PrintedError }).error;
  } catch {
    return null;
  }
}

/** What a run was allowed to leave. */
export interface Allowed {
  /** What the place `out` held before the run. */
  readonly before: Snapshot;
  /** Whether temporary files may be left: after SIGKILL, until the next run. */
  readonly temporaries: boolean;
  /** Whether partial results may be left: by a run that did not succeed, until the next run. */
  readonly partials: boolean;
}

/** Whether an entry is temporary: it is below a name that begins with a dot, and no unbroken run leaves it. */
function isTemporary(name: string, reference: Reference, place: string): boolean {
  return /(?:^|\/)\.[^/]/.test(name) && !reference.after.has(`${place}/${name}`);
}

/** What a stage has done so far, in the work folder of a model. */
const PARTIAL = /^(?:work|cache\/work)\/[0-9a-f]{16}\/partial-/;

/** A place with nothing in it. */
export const EMPTY: Snapshot = new Map([[".", "folder"]]);

/** Checks what a broken run left, before anything else runs. */
export async function checkLeft(bench: Workbench, reference: Reference, allowed: Allowed): Promise<string[]> {
  const found = await snapshotOf(bench.places);
  return [
    ...(await checkOutput(bench, reference, found, allowed)),
    ...(await checkIntermediate(bench, reference, found, allowed)),
    ...checkStrays(reference, found),
  ];
}

async function checkOutput(bench: Workbench, reference: Reference, found: Snapshot, allowed: Allowed): Promise<string[]> {
  const all = partOf(found, "out");
  const out = new Map([...all].filter(([name]) => !isTemporary(name, reference, "out")));
  const left = [...all.keys()].filter((name) => isTemporary(name, reference, "out"));
  const problems = allowed.temporaries ? [] : left.map((name) => `left in the output's folder: ${name}`);
  const made = partOf(reference.after, "out");
  if (holdsSame(out, allowed.before) || holdsSame(out, made)) return problems;
  if (reference.command.keepsParts) return [...problems, ...(await checkParts(bench, reference, out))];
  const { output } = reference.command;
  if (allowed.temporaries && allowed.before !== EMPTY && holdsSame(out, EMPTY)) {
    // Between the two renames of a swap. The next run finishes it, if both are whole and under names of their own.
    const whole = (expected: Snapshot): boolean =>
      left.some((name) => all.get(name) === "folder" && holdsSame(partOf(all, name), partOf(expected, output)));
    if (whole(allowed.before) && whole(made)) return problems;
  }
  if (allowed.temporaries && made.get(output) !== "folder" && out.get(output) === made.get(output)) {
    // Between the file and the one that belongs to it, which the next run moves in.
    const waiting = new Set(left.map((name) => all.get(name)));
    const isDue = ([name, digest]: readonly [string, string]): boolean => out.get(name) === digest || waiting.has(digest);
    if ([...made].every(isDue) && [...out.keys()].every((name) => made.has(name))) return problems;
  }
  return [...problems, ...differences(out, made).map((difference) => `half an output: ${difference}`)];
}

/** The finished parts of a comparison: each is whole. */
async function checkParts(bench: Workbench, reference: Reference, out: Snapshot): Promise<string[]> {
  const made = partOf(reference.after, "out");
  const problems: string[] = [];
  for (const [name, digest] of out) {
    const path = join(bench.placeOf("out"), name);
    if (name.endsWith("results.json")) problems.push(...(await checkJson(path)));
    else if (name.endsWith(".svg") || name.endsWith("table.md")) {
      const text = (await readFile(path, "utf8")).trimEnd();
      if (!text.endsWith("</svg>") && !text.endsWith(".")) problems.push(`half a part: ${name}`);
    } else if (made.get(name) !== digest) problems.push(`half a part: ${name}`);
  }
  const { output } = reference.command;
  for (const [name] of made) {
    const [, expert] = /^[^/]+\/(experts\/[^/]+)$/.exec(name) ?? [];
    if (expert === undefined || !out.has(name)) continue;
    const kept = differences(partOf(out, `${output}/${expert}`), partOf(made, `${output}/${expert}`));
    problems.push(...kept.map((difference) => `half a kept expert: ${expert}/${difference}`));
  }
  return problems;
}

async function checkJson(path: string): Promise<string[]> {
  try {
    JSON.parse(await readFile(path, "utf8"));
    return [];
  } catch {
    return [`half a file: ${path}`];
  }
}

/** The work folder and the cache: finished results may be there, with the bytes that an unbroken run gives. */
async function checkIntermediate(
  bench: Workbench,
  reference: Reference,
  found: Snapshot,
  { temporaries, partials }: Allowed,
): Promise<string[]> {
  const problems: string[] = [];
  for (const [name, digest] of found) {
    if (!/^(work|cache)\//.test(name) || reference.after.get(name) === digest) continue;
    if (partials && PARTIAL.test(name)) continue;
    if (isTemporary(name.replace(/^\w+\//, ""), reference, name.split("/")[0]!) || name.startsWith("cache/scratch/")) {
      if (!temporaries) problems.push(`left: ${name}`);
    } else if (name.endsWith(".json") && reference.after.has(name)) {
      // Grows with every measurement.
      problems.push(...(await checkJson(join(bench.places, name))));
    } else if (digest !== "folder") problems.push(`${reference.after.has(name) ? "half or wrong" : "left"}: ${name}`);
  }
  return problems;
}

function checkStrays(reference: Reference, found: Snapshot): string[] {
  // What unbroken runs leave is reported once, with them. Numbers in names may be those of a process.
  const pattern = (name: string): string => (dirname(name).includes("/") ? dirname(name) : name.replaceAll(/\d+/g, "#"));
  const known = new Set(strays(reference.after).map(pattern));
  return strays(found).flatMap((name) => (known.has(pattern(name)) ? [] : [`left: ${name}`]));
}

/** Checks that no input has changed. */
export async function checkInputs(bench: Workbench, before: Snapshot): Promise<string[]> {
  return differences(await snapshotOf(bench.inputs), before).map((difference) => `inputs: ${difference}`);
}

/**
 * Runs the command once more, unbroken: it succeeds, and afterwards every place holds what it holds after an unbroken
 * run.
 * @param overwrote whether the broken run had `--overwrite`.
 */
export async function checkNextRun(bench: Workbench, reference: Reference, overwrote = false): Promise<string[]> {
  const { command, after } = reference;
  const out = partOf(await snapshotOf(bench.places), "out");
  const isThere = [...out.keys()].some((name) => name !== "." && !isTemporary(name, reference, "out"));
  const overwrites = overwrote || (isThere && !command.keepsParts);
  const next = await runToEnd(argumentsOf(bench, command, overwrites ? ["--overwrite"] : []), bench.surroundings);
  if (next.exitCode !== 0) return [`the next run ends with ${next.signal ?? next.exitCode}: ${next.stderr.slice(0, 400)}`];
  const found = await snapshotOf(bench.places);
  return [
    ...differences(strict(found), strict(after)).map((difference) => `after the next run: ${difference}`),
    ...checkStrays(reference, found),
  ];
}
