/**
 * @file Inputs that once failed, kept as folders: `corpus/{target}/{name}/` holds the changed files and `input.json`,
 * which names the base and the fault.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Input } from "./inputs.ts";
import { CORPUS } from "./paths.ts";
import type { Outcome } from "./target.ts";

const DESCRIPTION = "input.json";
/** Larger inputs are not kept, but reported with the command that makes them. */
const MAX_STORED_BYTES = 64 * 1024;

/** The description of a kept input. */
export interface StoredInput {
  readonly base: string;
  /** What was wrong when it was found. */
  readonly fault: string;
  readonly found: string;
  /**
   * A part of the message with which it is refused since it was mended, or `accepted`. Otherwise it no longer gets to
   * where it failed, for example because of a new version of its format.
   */
  readonly reaches?: string;
}

/** Kept inputs of a target, sorted. */
export function storedPaths(target: string): string[] {
  const folder = join(CORPUS, target);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .toSorted()
    .map((name) => join(folder, name));
}

/** What is wrong if a kept input no longer gets to where it failed; otherwise null. */
export function missedPlace(path: string, outcome: Exclude<Outcome, { readonly type: "fault" }>): string | null {
  const { reaches } = describe(path);
  const found = outcome.type === "accepted" ? "accepted" : outcome.message;
  if (reaches !== undefined && found.includes(reaches)) return null;
  return `ended with '${found}', not with what its ${DESCRIPTION} names as 'reaches': ${reaches ?? "nothing yet"}`;
}

function describe(path: string): StoredInput {
  return JSON.parse(readFileSync(join(path, DESCRIPTION), "utf8")) as StoredInput;
}

/** Reads a kept input. */
export function readStored(path: string): Input {
  const { base } = describe(path);
  const names = readdirSync(path).filter((name) => name !== DESCRIPTION);
  return { base, changed: new Map(names.map((name) => [name, readFileSync(join(path, name))])) };
}

/** Keeps an input. @returns its folder, or null if it is too large. */
export function store(target: string, name: string, input: Input, description: Omit<StoredInput, "base">): string | null {
  const bytes = [...input.changed.values()].reduce((sum, each) => sum + each.length, 0);
  if (bytes > MAX_STORED_BYTES) return null;
  const folder = join(CORPUS, target, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, contents] of input.changed) writeFileSync(join(folder, file), contents);
  writeFileSync(join(folder, DESCRIPTION), `${JSON.stringify({ base: input.base, ...description }, null, 2)}\n`);
  return folder;
}
