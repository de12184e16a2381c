/**
 * @file Inputs that another program changes while they are read: the run gives what it gives for the old input or for
 * the new one, or a coded error; and what it leaves for later runs is not taken for results of the old input.
 */

import { execFileSync } from "node:child_process";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { checkLeft, checkNextRun, EMPTY, errorOf } from "./checks.ts";
import { type Change, type Ended, runToEnd } from "./command.ts";
import { argumentsOf, readCallsOf, type Reference } from "./references.ts";
import { holdsSame, partOf, snapshotOf, type Snapshot } from "./snapshot.ts";
import type { Trial, TrialSetting } from "./trial.ts";
import { clearPlaces, type Workbench } from "./workbench.ts";

const KINDS = ["truncate", "append", "rewrite", "replace", "remove"] as const;

/** Changes one input of a random command at a random call that reads it, then checks. */
export async function tryChange({ bench, references, random }: TrialSetting): Promise<Trial> {
  const reference = random.pick(references);
  const { command } = reference;
  const [name, calls] = random.pick([...(await readCallsOf(bench, reference))]);
  const path = join(bench.inputs, name);
  const change: Change = { kind: random.pick(KINDS), path, from: join(bench.otherInputs, name) };
  const at = random.integer(1, calls + 1);
  const edge = random.pick(["before", "during", "after"] as const);

  await clearPlaces(bench);
  const kept = join(bench.folder, "kept-input");
  execFileSync("cp", ["-a", path, kept]);
  const args = argumentsOf(bench, command);
  const ended = await runToEnd(args, bench.surroundings, { atCall: { calls: "read", under: path, at, edge, change } });
  const out = await snapshotOf(bench.placeOf("out"));
  const problems = await checkOutcome(bench, reference, ended, out);
  const moment = `${edge} reading call ${at} of ${calls}`;
  return {
    group: `${command.name}: ${change.kind}`,
    how: `${command.name}, ${change.kind} ${name} ${moment}, ended with ${ended.signal ?? ended.exitCode}`,
    problems,
    stoppingMs: null,
    ended,
    afterwards: async () => {
      // The input is as before. What the broken run left in the work folder and the cache stays.
      await rm(path, { force: true });
      execFileSync("cp", ["-a", kept, path]);
      await rm(kept, { force: true });
      await emptyOut(bench);
      const problems = await checkNextRun(bench, reference);
      // Results of the changed input may be in the work folder too. Whether they are whole has been checked.
      return problems.filter((problem) => !/^after the next run: (work|cache)\//.test(problem));
    },
  };
}

async function checkOutcome(bench: Workbench, reference: Reference, ended: Ended, out: Snapshot): Promise<string[]> {
  if (ended.hung) return ["did not end"];
  if (ended.exitCode !== 0) {
    const left = await checkLeft(bench, reference, { before: EMPTY, temporaries: false, partials: true });
    const output = left.filter((problem) => !/: (work|cache)\//.test(problem));
    if (ended.exitCode === 70 || errorOf(ended) === null)
      return [`ended with ${ended.signal ?? ended.exitCode}: ${ended.stderr.slice(0, 400)}`, ...output];
    return output;
  }
  if (holdsSame(out, partOf(reference.after, "out"))) return [];
  // It took the new input; then it took all of it.
  const places = join(bench.folder, "places-of-change");
  await cp(bench.places, places, { recursive: true });
  await clearPlaces(bench);
  const again = await runToEnd(argumentsOf(bench, reference.command), bench.surroundings);
  const fresh = await snapshotOf(bench.placeOf("out"));
  await clearPlaces(bench);
  await cp(places, bench.places, { recursive: true });
  await rm(places, { recursive: true });
  if (again.exitCode === 0 && holdsSame(out, fresh)) return [];
  return [`a result that neither the old nor the new input gives (the new one ends with ${again.exitCode})`];
}

async function emptyOut(bench: Workbench): Promise<void> {
  // Emptied in place: it may be a disk.
  execFileSync("find", [bench.placeOf("out"), "-mindepth", "1", "-delete"]);
}
