/**
 * @file Two runs at once: on one output, exactly one writes it, and the other is refused before it computes anything;
 * on one work folder with two outputs, both are right.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { checkLeft, checkNextRun, EMPTY, errorOf } from "./checks.ts";
import { type Ended, runToEnd } from "./command.ts";
import { argumentsOf, type Reference } from "./references.ts";
import { differences, snapshotOf, type Snapshot } from "./snapshot.ts";
import type { Trial, TrialSetting } from "./trial.ts";
import { clearPlaces, outputOf, type Workbench } from "./workbench.ts";

/** A refused run reads its inputs' headers at most; one that computes takes most of the time of a whole run. */
const REFUSED_SHARE = 0.75;

/** Starts a random command twice, a random time apart, then checks. */
export async function tryPair({ bench, references, random }: TrialSetting): Promise<Trial> {
  const reference = random.pick(references);
  const { command, elapsedMs } = reference;
  const sharesOutput = random.uniform() < 0.5;
  const apartMs = Math.round(random.pick([0, random.uniform() * elapsedMs * 0.9]));
  await clearPlaces(bench);
  const first = argumentsOf(bench, command);
  const second = sharesOutput ? first : first.map((word) => (word === outputOf(bench, command) ? secondOutput(bench, reference) : word));
  const [one, two] = await Promise.all([
    runToEnd(first, bench.env),
    sleep(apartMs).then(() => runToEnd(second, bench.env)),
  ]);
  const overlap = apartMs < one.elapsedMs;
  const problems = sharesOutput ? await checkOneWins(bench, reference, [one, two], overlap) : await checkBothWin(bench, reference, [one, two]);
  return {
    group: `${command.name}: two runs, ${sharesOutput ? "one output" : "one work folder"}`,
    how: `${command.name} twice, ${apartMs} ms apart, ${sharesOutput ? "one output" : "two outputs"}, ended with ${one.exitCode} after ${Math.round(one.elapsedMs)} ms and ${two.exitCode} after ${Math.round(two.elapsedMs)} ms`,
    problems,
    stoppingMs: null,
    ended: one.exitCode === 0 ? two : one,
    afterwards: () => (sharesOutput ? checkNextRun(bench, reference) : Promise.resolve([])),
  };
}

/** The second output has the same name, because a model card names its folder, in a folder of its own. */
function secondOutput(bench: Workbench, { command }: Reference): string {
  return join(bench.placeOf("out"), "second", command.output);
}

async function checkOneWins(bench: Workbench, reference: Reference, runs: readonly Ended[], overlap: boolean): Promise<string[]> {
  const losers = runs.filter(({ exitCode }) => exitCode !== 0);
  const left = await checkLeft(bench, reference, { before: EMPTY, temporaries: false });
  if (losers.length !== 1) {
    // A later run of a comparison finds everything made.
    if (losers.length === 0 && reference.command.keepsParts && !overlap) return left;
    return [...left, `${losers.length} of two runs were refused: ${losers.map(({ stderr }) => stderr.slice(0, 300)).join("; ")}`];
  }
  const [loser] = losers as [Ended];
  const problems = [...left];
  const code = errorOf(loser)?.code ?? null;
  if (loser.exitCode !== 6 || code === null) problems.push(`refused with ${loser.exitCode}, code ${code}: ${loser.stderr.slice(0, 300)}`);
  const share = loser.elapsedMs / reference.elapsedMs;
  if (share > REFUSED_SHARE) problems.push(`refused late, after ${share.toFixed(2)} of the time of a whole run: ${code}`);
  return problems;
}

async function checkBothWin(bench: Workbench, reference: Reference, runs: readonly Ended[]): Promise<string[]> {
  const failed = runs.filter(({ exitCode }) => exitCode !== 0);
  if (failed.length > 0) return failed.map(({ exitCode, stderr }) => `ended with ${exitCode}: ${stderr.slice(0, 400)}`);
  const found = await snapshotOf(bench.places);
  const expected = new Map(reference.after);
  expected.set("out/second", "folder");
  for (const [name, digest] of reference.after) if (name.startsWith("out/")) expected.set(name.replace("out/", "out/second/"), digest);
  const strict = (places: Snapshot): Snapshot => new Map([...places].filter(([name]) => !/^(temp|home)(\/|$)/.test(name)));
  return differences(strict(found), strict(expected));
}
