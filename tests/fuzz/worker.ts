/**
 * @file The process that runs inputs: `worker.js TARGET FOLDER`. Receives ranges of indices and stored inputs, writes
 * the index that it is about to run into a state file, and answers with a report. The parent ends it if an input takes
 * too long.
 */

import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { InputFolders, judgeBase, makeInput, openSource, runChoices, type Input, type Source } from "./inputs.ts";
import { generateInput } from "./generated.ts";
import { judge, outcomeOf } from "./outcome.ts";
import { STATE_FILE, type FromWorker, type RangeReport, type ToWorker } from "./protocol.ts";
import { openSecondReader, type SecondReaderProcess } from "./second-reader.ts";
import { readStored } from "./stored.ts";
import type { Outcome } from "./target.ts";
import { targetNamed } from "./targets/index.ts";

/** Resident memory above which the process asks to be replaced, so that garbage is not taken for an input's need. */
const REPLACE_BYTES = 350 * 2 ** 20;
/** One refused input in this many is shown to the second reader too. */
const REFUSED_EVERY = 16;

const [, , targetName = "", folder = ""] = process.argv;
const target = targetNamed(targetName);
const state = openSync(join(folder, STATE_FILE), "w");
const position = new Float64Array(1);

let stray: Outcome | null = null;
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => (stray = strayFault("outside of any promise", judge(error))));
}
// Such as of a file that nobody closed: users would see it.
process.on("warning", (warning) => (stray = strayFault("a warning of Node", judge(warning))));

function strayFault(where: string, outcome: Outcome): Outcome {
  const detail = outcome.type === "fault" ? outcome.detail : JSON.stringify(outcome);
  return { type: "fault", fault: "crash", detail: `${where}: ${detail}` };
}

/** Largest resident memory of this process so far in bytes. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

function announce(index: number): void {
  position[0] = index;
  writeSync(state, position, 0, 8, 0);
}

async function runOne(folders: InputFolders, input: Input): Promise<Outcome> {
  stray = null;
  const outcome = await folders.with(input, (inputFolder) => outcomeOf(target, inputFolder, runChoices(input)));
  return stray ?? judgeBase(input, outcome);
}

async function runRange(
  source: Source,
  folders: InputFolders,
  reader: SecondReaderProcess | null,
  { seed, from, to, maxBytes }: Extract<ToWorker, { type: "range" }>,
): Promise<RangeReport> {
  const report: RangeReport = { ...emptyReport(), to };
  for (let index = from; index < to; index++) {
    announce(index);
    const before = process.hrtime.bigint();
    const input = makeInput(source, seed, index);
    const outcome = await runOne(folders, input);
    const elapsedMs = Number(process.hrtime.bigint() - before) / 1e6;
    if (elapsedMs > report.slowest.elapsedMs) report.slowest = { index, elapsedMs };
    if (outcome.type === "accepted") report.accepted++;
    else if (outcome.type === "refused") report.refused[outcome.code] = (report.refused[outcome.code] ?? 0) + 1;
    else report.faults.push({ index, fault: outcome.fault, detail: outcome.detail });
    if (outcome.type !== "fault" && (outcome.type === "accepted" || index % REFUSED_EVERY === 0)) {
      reader?.add(index, input, outcome);
    }
    if (peakBytes() > maxBytes) {
      const detail = `${Math.round(peakBytes() / 2 ** 20)} MiB`;
      report.faults.push({ index, fault: "memory", detail });
      return { ...report, to: index + 1, peakBytes: peakBytes(), replace: true };
    }
  }
  announce(-1);
  if (reader !== null) await reader.judge(report);
  (globalThis as { gc?: () => void }).gc?.();
  return { ...report, peakBytes: peakBytes(), replace: process.memoryUsage.rss() > REPLACE_BYTES };
}

function emptyReport(): RangeReport {
  return {
    to: 0,
    accepted: 0,
    refused: {},
    faults: [],
    slowest: { index: -1, elapsedMs: 0 },
    peakBytes: 0,
    replace: false,
    shown: 0,
    stricter: {},
  };
}

function inputOf(source: Source, message: Extract<ToWorker, { type: "input" }>): Input {
  if ("path" in message) return readStored(message.path);
  return "generated" in message ? generateInput(source, message.generated) : makeInput(source, message.seed, message.index);
}

async function answer(
  source: Source,
  folders: InputFolders,
  reader: SecondReaderProcess | null,
  message: ToWorker,
): Promise<FromWorker> {
  switch (message.type) {
    case "range":
      return { type: "range", report: await runRange(source, folders, reader, message) };
    case "input": {
      const input = inputOf(source, message);
      announce(0);
      const started = process.hrtime.bigint();
      const outcome = await runOne(folders, input);
      const elapsedMs = Number(process.hrtime.bigint() - started) / 1e6;
      announce(-1);
      const verdict = outcome.type === "accepted" ? await reader?.judgeOne(input) : undefined;
      return { type: "input", outcome: verdict ?? outcome, elapsedMs, peakBytes: peakBytes() };
    }
    default:
      throw message satisfies never;
  }
}

announce(-1);
const source = await openSource(target);
const folders = new InputFolders(folder, source);
const reader = openSecondReader(target, folder);
process.on("message", (message: ToWorker) => {
  const failed = (error: unknown): FromWorker => ({ type: "failed", detail: String(error) });
  void answer(source, folders, reader, message).then(
    (reply) => process.send?.(reply),
    (error: unknown) => process.send?.(failed(error)),
  );
});
process.on("disconnect", () => {
  reader?.close();
  closeSync(state);
  process.exit(0);
});
process.send?.({ type: "ready" } satisfies FromWorker);
