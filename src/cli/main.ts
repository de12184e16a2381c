#!/usr/bin/env node
/**
 * @file The command `cusprun`: parses the command line, runs the job and prints the result. Results go to stdout,
 * everything else to stderr.
 */

import { CusprunError } from "../errors.ts";
import { cusprunVersion } from "../pipeline/version.ts";
import { COMMANDS } from "./commands.ts";
import { flag, renderCommandHelp, renderProgramHelp } from "./help.ts";
import type { JobResult } from "./job-result.ts";
import { ProgressView } from "./progress-view.ts";
import { describeStages } from "../report/estimate-table.ts";
import { describeError, type Job } from "./protocol.ts";
import { readConfig } from "./read-config.ts";
import { readFlags, type Request } from "./read-flags.ts";
import { DEFECT_EXIT_CODE, renderError, renderErrorJson } from "./render-error.ts";
import { renderResult } from "./render-result.ts";
import { runJob, type Outcome } from "./run-job.ts";
import { usageError } from "./usage-error.ts";

/** Exit code of a verification in which no runtime answered, or one disagrees or failed. */
const DISAGREEMENT_EXIT_CODE = 1;

/** Whether errors are printed as JSON. Read from the raw arguments, since parsing them may fail. */
const printsJson = process.argv.includes("--json");

// A reader that stops early (`| head`) is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : DEFECT_EXIT_CODE));

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => fail(describeError(error)));

async function main(argv: readonly string[]): Promise<number> {
  const request = readFlags(argv);
  switch (request.kind) {
    case "version":
      return print(cusprunVersion());
    case "help":
      return print(request.command === null ? renderProgramHelp(cusprunVersion()) : renderCommandHelp(request.command));
    case "run":
      return run(await completeJob(request));
    default:
      throw request satisfies never;
  }
}

async function run(job: Job): Promise<number> {
  const { json = false, quiet = false } = job.settings;
  const view = new ProgressView(process.stderr);
  const silent = json || quiet;
  const outcome: Outcome = await runJob(job, {
    onProgress: (event) => (silent ? undefined : view.show(event)),
    onPlan: (stages) => (silent ? undefined : view.note(describeStages(stages))),
    onStopping: () =>
      silent ? undefined : view.note("Stopping and removing partial output. Press Ctrl-C again to quit at once."),
  });
  view.finish();
  switch (outcome.type) {
    case "result":
      print(json ? JSON.stringify(outcome.result.value, null, 2) : renderResult(outcome.result));
      return exitCodeOf(outcome.result);
    case "stopped":
      return outcome.exitCode;
    case "refused":
    case "defect":
      return fail(outcome);
    default:
      throw outcome satisfies never;
  }
}

/** Merges the configuration file with the flags, which override it, and checks that nothing required is missing. */
async function completeJob({ command, subject, settings }: Extract<Request, { kind: "run" }>): Promise<Job> {
  const config = settings.config === undefined ? null : await readConfig(settings.config);
  const merged = { ...config?.settings, ...settings };
  const named = subject ?? config?.model ?? null;
  const wanted = COMMANDS[command].subject;
  if (named === null && wanted !== null) {
    const { hint, help } = wanted;
    throw usageError(
      "command line",
      `no ${hint}`,
      help.charAt(0).toLowerCase() + help.slice(1),
      `Write cusprun ${command} ${hint} …`,
    );
  }
  for (const name of COMMANDS[command].required) {
    if (merged[name] === undefined) {
      throw usageError("command line", `no --${name}`, flag(name), `Add it; see 'cusprun ${command} --help'`);
    }
  }
  return { command, subject: named ?? "", settings: merged };
}

/** A verification that completed may still have found a disagreement. */
function exitCodeOf(result: JobResult): number {
  return result.command === "verify" && !result.value.agrees ? DISAGREEMENT_EXIT_CODE : 0;
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

function fail(outcome: Extract<Outcome, { type: "refused" | "defect" }>): number {
  process.stderr.write(`${printsJson ? renderErrorJson(outcome) : renderError(outcome, process.env["CUSPRUN_DEBUG"] === "1")}\n`);
  return outcome.type === "refused" ? new CusprunError(outcome.code, outcome.parts).exitCode : DEFECT_EXIT_CODE;
}
