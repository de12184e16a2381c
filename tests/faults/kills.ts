/**
 * @file Kills: a signal at a random time, or at a random call of the file system.
 */

import { execFileSync } from "node:child_process";
import { checkInputs, checkLeft, checkNextRun, EMPTY } from "./checks.ts";
import { type Ended, type Fault, runToEnd, type Signal } from "./command.ts";
import type { Random } from "./random.ts";
import { argumentsOf, earlierOf, type Reference } from "./references.ts";
import { snapshotOf } from "./snapshot.ts";
import type { Trial, TrialSetting } from "./trial.ts";
import { clearPlaces } from "./workbench.ts";

/** The signals; `SIGINT twice` is a second Ctrl-C soon after the first, which quits at once. */
const SIGNALS = ["SIGKILL", "SIGINT", "SIGTERM", "SIGINT twice"] as const;

/** What a shell expects of a program that a signal stopped. */
const STOPPED: Readonly<Partial<Record<Signal, number>>> = { SIGINT: 130, SIGTERM: 143 };

/** Most time between two signals. */
const SECOND_SIGNAL_MS = 300;

/** Breaks one run of a random command by a signal, then checks. */
export async function tryKill({ bench, references, random }: TrialSetting): Promise<Trial> {
  const reference = random.pick(references);
  const { command } = reference;
  const chosen = random.pick(SIGNALS);
  const overwrites = random.uniform() < 0.4;
  const { fault, how } = momentOf(random, reference, chosen, bench.places);

  const earlier = overwrites ? await earlierOf(bench, reference) : null;
  await clearPlaces(bench);
  if (earlier !== null) execFileSync("cp", ["-a", `${earlier.folder}/.`, bench.placeOf("out")]);
  const inputs = await snapshotOf(bench.inputs);
  const ended = await runToEnd(argumentsOf(bench, command, overwrites ? ["--overwrite"] : []), bench.surroundings, fault);
  const atOnce = chosen === "SIGKILL" || chosen === "SIGINT twice";
  const before = earlier?.snapshot ?? EMPTY;
  const problems = [
    ...checkEnd(chosen, ended),
    ...(await checkLeft(bench, reference, { before, temporaries: atOnce, partials: ended.exitCode !== 0 })),
    ...(await checkInputs(bench, inputs)),
  ];
  return {
    group: `${command.name}: ${chosen}`,
    how: `${command.name}${overwrites ? " --overwrite" : ""}, ${how}, ended with ${ended.signal ?? ended.exitCode}`,
    problems,
    stoppingMs: atOnce ? null : ended.stoppingMs,
    ended,
    afterwards: () => checkNextRun(bench, reference, overwrites),
  };
}

function momentOf(
  random: Random,
  reference: Reference,
  chosen: (typeof SIGNALS)[number],
  places: string,
): { fault: Fault; how: string } {
  const signal = chosen === "SIGINT twice" ? "SIGINT" : chosen;
  // Calls of the file system take a small part of a run, and most that can go wrong goes wrong there.
  if (chosen !== "SIGINT twice" && random.uniform() < 0.6) {
    // Most calls append to a temporary file; the others change what the next run finds.
    const turning = reference.writeCalls.filter(({ name }) => !/^handle\.writev?$/.test(name));
    const { number: at, name } = random.pick(random.uniform() < 0.7 ? turning : reference.writeCalls);
    const edge = random.pick(["before", "during", "after"] as const);
    const fault = { atCall: { calls: "write", under: places, at, edge, signal } } as const;
    return { fault, how: `${signal} ${edge} call ${at} of ${reference.writeCalls.length} (${name})` };
  }
  const afterMs = Math.round(random.uniform() * reference.elapsedMs * 1.05);
  const atTimes = [{ afterMs, signal }];
  if (chosen === "SIGINT twice") atTimes.push({ afterMs: afterMs + random.integer(1, SECOND_SIGNAL_MS), signal });
  return { fault: { atTimes }, how: `${chosen} after ${afterMs} of ${Math.round(reference.elapsedMs)} ms` };
}

/** A run ends by the signal, with the signal's code, or had ended before. */
function checkEnd(chosen: (typeof SIGNALS)[number], { exitCode, signal, hung, stderr }: Ended): string[] {
  if (hung) return ["did not end"];
  if (exitCode === 0) return [];
  const sent = chosen === "SIGINT twice" ? "SIGINT" : chosen;
  // Before the program has begun, the system ends it.
  if (signal === sent || (exitCode !== null && exitCode === STOPPED[sent])) return [];
  return [`ended with ${signal ?? exitCode}: ${stderr.slice(0, 400)}`];
}
