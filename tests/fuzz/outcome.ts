/**
 * @file Runs one input in this process, and judges how it ended.
 */

import { CusprunError, ERROR_CODES } from "../../src/errors.ts";
import type { Random } from "./random.ts";
import type { Outcome, Target } from "./target.ts";

/** Longest message in characters. It is read in a terminal. */
const MAX_MESSAGE = 2000;
/** Frames of a stack that tell one defect from another. */
const SHOWN_FRAMES = 4;

/** Feeds a folder to a target. Never throws. */
export async function outcomeOf(target: Target, folder: string, random: Random): Promise<Outcome> {
  try {
    await target.run(folder, random);
    return { type: "accepted" };
  } catch (error) {
    return judge(error);
  }
}

/** An error as an outcome: only a coded error with all its parts is a refusal. */
export function judge(error: unknown): Outcome {
  if (!(error instanceof CusprunError)) return { type: "fault", fault: "crash", detail: describe(error) };
  const { code, parts, message } = error;
  const bad = (detail: string): Outcome => ({ type: "fault", fault: "message", detail: `${code}: ${detail}` });
  if (!Object.hasOwn(ERROR_CODES, code)) return bad("an unknown code");
  for (const name of ["where", "found", "expected", "remedy"] as const) {
    if (typeof parts[name] !== "string" || parts[name].trim() === "") return bad(`nothing in '${name}'`);
  }
  if (message.length > MAX_MESSAGE) {
    const [longest] = Object.entries(parts).toSorted(([, a], [, b]) => b.length - a.length);
    return bad(`a message of more than ${MAX_MESSAGE} characters, most of them in '${longest?.[0]}'`);
  }
  return { type: "refused", code, message };
}

/** The error and the places in the program where it passed. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${String(error).slice(0, 200)}`;
  const frames = (error.stack ?? "")
    .split("\n")
    .map((line) => /at (?:(?:async )?([^ ]+) \()?.*\/((?:src|node_modules)\/[^:]+:\d+)/.exec(line))
    .filter((match) => match !== null)
    .map(([, name, place]) => (name === undefined ? place : `${name} (${place})`));
  return `${error.name}: ${error.message.slice(0, 200)}\n${frames.slice(0, SHOWN_FRAMES).join("\n")}`;
}
