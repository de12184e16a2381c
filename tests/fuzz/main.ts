/**
 * @file The fuzzer's command: `npm run fuzz -- --inputs 1000000 --seed 7`. Mutated files go into every reader of
 * cusprun; the only outcomes allowed are acceptance and a coded error, within 5 s and 500 MiB.
 */

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { LIMITS, runSingles, runTarget, type TargetReport } from "./campaign.ts";
import { generatedNames } from "./generated.ts";
import { keepFaults } from "./keep.ts";
import type { ToWorker } from "./protocol.ts";
import { sweepScratch } from "./scratch.ts";
import { missedPlace, storedPaths } from "./stored.ts";
import { renderFaults, renderTable } from "./table.ts";
import { TARGETS, targetNamed } from "./targets/index.ts";

const HELP = `npm run fuzz -- [options]

  --inputs N       inputs in all, shared between the targets (default 100000)
  --seed N         seed (default 1)
  --target NAME    only this target; may be repeated. There are ${TARGETS.map(({ name }) => name).join(", ")}
  --index N        only this input of a target, to reproduce a fault
  --corpus         only the inputs that once failed, tests/fuzz/corpus
  --keep           keep inputs that fail in tests/fuzz/corpus
  --json FILE      write the report as JSON
  --hang-seconds N limit of an input's processor time (default ${LIMITS.hangSeconds})

Exit code 1 if there is a fault.
`;

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    target: { type: "string", multiple: true },
    index: { type: "string" },
    corpus: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    json: { type: "string" },
    "hang-seconds": { type: "string", default: String(LIMITS.hangSeconds) },
    help: { type: "boolean", default: false },
  },
});

const seed = Number(values.seed);
const limits = { ...LIMITS, hangSeconds: Number(values["hang-seconds"]) };
const targets = values.target === undefined ? TARGETS : values.target.map(targetNamed);

/** Runs one input and shows how it ended. */
async function reproduce(index: number): Promise<boolean> {
  const results = await Promise.all(targets.map(({ name }) => runSingles(name, [{ type: "input", seed, index }], limits)));
  for (const [result] of results) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  return results.every(([result]) => result?.outcome.type !== "fault");
}

/** Runs the inputs that once failed: those that are kept as files, and those that are made. */
async function runCorpus(): Promise<boolean> {
  let isGood = true;
  for (const { name } of targets) {
    const tasks: [string, ToWorker][] = [
      ...storedPaths(name).map((path): [string, ToWorker] => [path, { type: "input", path }]),
      ...generatedNames(name).map((generated): [string, ToWorker] => [`${name}, ${generated}`, { type: "input", generated }]),
    ];
    const results = await runSingles(
      name,
      tasks.map(([, task]) => task),
      limits,
    );
    for (const [index, { outcome }] of results.entries()) {
      const [label, task] = tasks[index]!;
      const problem =
        outcome.type === "fault"
          ? `${outcome.fault}, ${outcome.detail}`
          : "path" in task
            ? missedPlace(task.path, outcome)
            : null;
      if (problem === null) continue;
      isGood = false;
      process.stdout.write(`${label}: ${problem}\n`);
    }
    process.stdout.write(`${name}: ${results.length} inputs that once failed\n`);
  }
  return isGood;
}

/** Runs inputs of all targets and prints the table. */
async function runAll(inputs: number): Promise<boolean> {
  const weights = targets.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const reports: TargetReport[] = [];
  for (const { name, weight = 1 } of targets) {
    const count = Math.ceil((inputs * weight) / weights);
    let shownAt = 0;
    const onProgress = ({ inputs: done, faults, elapsedMs }: TargetReport): void => {
      if (elapsedMs - shownAt < 5000) return;
      shownAt = elapsedMs;
      const speed = Math.round((1000 * done) / elapsedMs);
      process.stderr.write(`${name}: ${done} of ${count} inputs, ${speed}/s, ${faults.length} faults\n`);
    };
    const report = await runTarget(name, { seed, count, limits, onProgress });
    reports.push(report);
    process.stderr.write(`${name}: ${report.inputs} inputs in ${Math.round(report.elapsedMs / 1000)} s\n`);
  }
  const kept = await keepFaults(reports, { seed, limits, store: values.keep });
  process.stdout.write(`${renderTable(reports)}\n${renderFaults(kept, seed)}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ seed, inputs, reports, kept }, null, 1)}\n`);
  return reports.every(({ faults }) => faults.length === 0);
}

if (values.help) {
  process.stdout.write(HELP);
} else {
  await sweepScratch();
  const isGood =
    values.index !== undefined
      ? await reproduce(Number(values.index))
      : values.corpus
        ? await runCorpus()
        : await runAll(Number(values.inputs));
  process.exitCode = isGood ? 0 : 1;
}
