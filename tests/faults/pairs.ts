/**
 * @file Two runs at once: on one output, exactly one writes it, and the other is refused before it computes anything;
 * on one work folder with two outputs, both are right.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { checkLeft, checkNextRun, EMPTY, errorOf } from "./checks.ts";
import { type Ended, runToEnd } from "./command.ts";
import { argumentsOf, readCallsOf, type Reference, strict, takeTrace } from "./references.ts";
import { differences, snapshotOf } from "./snapshot.ts";
import type { Trial, TrialSetting } from "./trial.ts";
import { clearPlaces, outputOf, type Workbench } from "./workbench.ts";

/** A refused run makes less than this share of the calls that read inputs in a whole run. */
const REFUSED_SHARE = 0.25;

/** A run, and the number of its calls that read inputs. */
interface Traced {
  readonly ended: Ended;
  readonly readCalls: number;
}

/** Starts a random command twice, a random time apart, then checks. */
export async function tryPair({ bench, references, random }: TrialSetting): Promise<Trial> {
  const reference = random.pick(references);
  const { command, elapsedMs } = reference;
  const sharesOutput = random.uniform() < 0.5;
  const apartMs = Math.round(random.pick([0, random.uniform() * elapsedMs * 0.9]));
  const first = argumentsOf(bench, command);
  const second = sharesOutput
    ? first
    : first.map((word) => (word === outputOf(bench, command) ? secondOutput(bench, reference) : word));
  const allCalls = [...(await readCallsOf(bench, reference)).values()].reduce((sum, calls) => sum + calls, 0);
  await clearPlaces(bench);
  const run = async (args: readonly string[], name: string): Promise<Traced> => {
    const trace = join(bench.folder, name);
    const ended = await runToEnd(args, bench.surroundings, { atCall: { calls: "read", under: bench.inputs, trace } });
    return { ended, readCalls: (await takeTrace(trace)).length };
  };
  const runs = await Promise.all([run(first, "trace-1"), sleep(apartMs).then(() => run(second, "trace-2"))]);
  const [one, two] = runs.map(({ ended }) => ended) as [Ended, Ended];
  const overlap = apartMs < one.elapsedMs;
  const problems = sharesOutput
    ? await checkOneWins(bench, reference, runs, { overlap, allCalls })
    : await checkBothWin(bench, reference, [one, two]);
  const ends = [one, two].map((run) => `${run.exitCode} after ${Math.round(run.elapsedMs)} ms`);
  const shared = sharesOutput ? "one output" : "two outputs";
  return {
    group: `${command.name} twice, ${shared}`,
    how: `${command.name} twice, ${apartMs} ms apart, ${shared}, ended with ${ends.join(" and ")}`,
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

async function checkOneWins(
  bench: Workbench,
  reference: Reference,
  runs: readonly Traced[],
  { overlap, allCalls }: { readonly overlap: boolean; readonly allCalls: number },
): Promise<string[]> {
  const losers = runs.filter(({ ended }) => ended.exitCode !== 0);
  const left = await checkLeft(bench, reference, { before: EMPTY, temporaries: false, partials: false });
  if (losers.length !== 1) {
    // A later run of a comparison finds everything made.
    if (losers.length === 0 && reference.command.keepsParts && !overlap) return left;
    const said = losers.map(({ ended }) => ended.stderr.slice(0, 300)).join("; ");
    return [...left, `${losers.length} of two runs were refused: ${said}`];
  }
  const [{ ended, readCalls }] = losers as [Traced];
  const problems = [...left];
  const code = errorOf(ended)?.code ?? null;
  if (ended.exitCode !== 6 || code === null)
    problems.push(`refused with ${ended.exitCode}, code ${code}: ${ended.stderr.slice(0, 300)}`);
  if (readCalls > REFUSED_SHARE * allCalls)
    problems.push(`refused late, after ${readCalls} of ${allCalls} calls that read inputs: ${code}`);
  return problems;
}

async function checkBothWin(bench: Workbench, reference: Reference, runs: readonly Ended[]): Promise<string[]> {
  const failed = runs.filter(({ exitCode }) => exitCode !== 0);
  if (failed.length > 0) return failed.map(({ exitCode, stderr }) => `ended with ${exitCode}: ${stderr.slice(0, 400)}`);
  const found = await snapshotOf(bench.places);
  const expected = new Map(reference.after);
  expected.set("out/second", "folder");
  for (const [name, digest] of reference.after)
    if (name.startsWith("out/")) expected.set(name.replace("out/", "out/second/"), digest);
  return differences(strict(found), strict(expected));
}
