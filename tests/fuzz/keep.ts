/**
 * @file Faults → one entry per defect: grouped by kind and place, confirmed by running one of them alone, described by
 * what was changed, and kept in the corpus.
 */

import type { Limits, TargetReport } from "./campaign.ts";
import { runSingles } from "./campaign.ts";
import { makeInput, openSource, type Input, type Source } from "./inputs.ts";
import type { Fault } from "./protocol.ts";
import { store } from "./stored.ts";
import { targetNamed } from "./targets/index.ts";

/** Members of a group that are run again alone until one fails; a hang costs seconds. */
const MAX_CONFIRMED = 3;
const MAX_SHOWN = 120;
const PROMISE_CHARACTERS = 50;

/** A defect, as far as faults tell. */
export interface Defect {
  readonly target: string;
  readonly fault: Fault["fault"];
  readonly detail: string;
  /** Inputs with this fault. */
  readonly count: number;
  /** One of them. */
  readonly index: number;
  /** What was changed in it. */
  readonly change: string;
  /** Whether it fails when it is run alone. */
  readonly isConfirmed: boolean;
  /** Its folder in the corpus; null if it was not kept. */
  readonly path: string | null;
}

/** Groups the faults of reports, and keeps one input of each group if asked to. */
export async function keepFaults(
  reports: readonly TargetReport[],
  { seed, limits, store: isKept }: { seed: number; limits: Limits; store: boolean },
): Promise<Defect[]> {
  const defects: Defect[] = [];
  for (const { target, faults } of reports) {
    if (faults.length === 0) continue;
    const source = await openSource(targetNamed(target));
    for (const [signature, group] of groupsOf(faults)) {
      const found = await confirm(target, seed, group, limits);
      const { index, fault, detail } = found ?? group[0]!;
      const input = makeInput(source, seed, index);
      const name = `${fault}-${digits(signature)}`;
      const path = isKept ? store(target, name, input, { fault, found: detail }) : null;
      defects.push({
        target,
        fault,
        detail,
        index,
        path,
        count: group.length,
        change: describeChange(source, input),
        isConfirmed: found !== null,
      });
    }
  }
  return defects;
}

/** Faults of the same kind at the same place; numbers and quoted values do not matter. */
function groupsOf(faults: readonly Fault[]): Map<string, Fault[]> {
  const groups = new Map<string, Fault[]>();
  for (const fault of faults) {
    const [message = "", ...frames] = fault.detail.split("\n");
    // A promise's first words name it; the rest are values.
    const isPromise = message.startsWith("BrokenPromise");
    const place = isPromise
      ? message.slice(0, PROMISE_CHARACTERS)
      : frames.length > 0
        ? `${message.split(":")[0]} ${frames[0]}`
        : message.replace(/["'].*["']|[-\d.e+]+/g, "#");
    const signature = `${fault.fault} ${place}`;
    groups.set(signature, [...(groups.get(signature) ?? []), fault]);
  }
  return groups;
}

async function confirm(target: string, seed: number, group: readonly Fault[], limits: Limits): Promise<Fault | null> {
  for (const { index } of group.slice(0, MAX_CONFIRMED)) {
    const [result] = await runSingles(target, [{ type: "input", seed, index }], limits);
    if (result?.outcome.type === "fault") return { index, fault: result.outcome.fault, detail: result.outcome.detail };
  }
  return null;
}

/** The first and last difference from the base: `file at 12: "old" → "new"`. */
function describeChange({ bases }: Source, { base, changed }: Input): string {
  const files = bases.find(({ name }) => name === base)!.files;
  return [...changed]
    .map(([name, bytes]) => {
      const original = files.get(name) ?? Buffer.alloc(0);
      const shorter = Math.min(original.length, bytes.length);
      let start = 0;
      while (start < shorter && original[start] === bytes[start]) start++;
      let end = 0;
      while (end < shorter - start && original.at(-1 - end) === bytes.at(-1 - end)) end++;
      const show = (part: Buffer): string => {
        const text = JSON.stringify(part.subarray(0, MAX_SHOWN).toString("latin1"));
        return part.length > MAX_SHOWN ? `${text}… (${part.length} bytes)` : text;
      };
      const [before, after] = [original, bytes].map((each) => show(each.subarray(start, each.length - end)));
      return `${base}/${name} at ${start}: ${before} → ${after}`;
    })
    .join("; ");
}

/** A short name for a text: 32 bits of FNV-1a. */
function digits(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
