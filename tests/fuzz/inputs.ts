/**
 * @file Inputs from a seed: target, seed and index determine every byte. A folder per base is filled once; an input
 * writes only what it changes, and restores it.
 */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "./random.ts";
import type { Base, Files, Outcome, Target } from "./target.ts";

/** An input: a base with some of its files changed. */
export interface Input {
  readonly base: string;
  readonly changed: Files;
}

/** A target with its bases. */
export interface Source {
  readonly target: Target;
  readonly bases: readonly Base[];
}

/** Opens a target. */
export async function openSource(target: Target): Promise<Source> {
  return { target, bases: await target.bases() };
}

/** The input with an index: first each base as it is, which must be accepted, then changed ones. */
export function makeInput({ target, bases }: Source, seed: number, index: number): Input {
  const whole = bases[index];
  if (whole !== undefined) return { base: whole.name, changed: new Map() };
  const random = new Random(`${target.name}/${seed}/${index}`);
  const base = random.pick(bases);
  const names = base.changed.length === 1 || random.chance(0.9) ? [random.pick(base.changed)] : base.changed;
  const changed = names.map((name): [string, Buffer] => {
    const others = bases.flatMap((other) => other.files.get(name) ?? []);
    return [name, target.mutate(name, base.files.get(name)!, random, others)];
  });
  return { base: base.name, changed: new Map(changed) };
}

/** A refusal of a base as it is, which is a fault; any other outcome as it is. */
export function judgeBase(input: Input, outcome: Outcome): Outcome {
  if (outcome.type !== "refused" || input.changed.size > 0) return outcome;
  return { type: "fault", fault: "refused", detail: `${outcome.code} for the base '${input.base}'` };
}

/** Choices of a run that are not in its files, such as options: the same for a file wherever it comes from. */
export function runChoices(input: Input): Random {
  const bytes = [...input.changed.values()].map((each) => `${each.length}/${each.subarray(0, 64).toString("latin1")}`);
  return new Random(bytes.join());
}

/** The folders of the bases, in which inputs are written. */
export class InputFolders {
  readonly #root: string;
  readonly #bases: ReadonlyMap<string, Base>;
  readonly #filled = new Set<string>();

  constructor(root: string, { bases }: Source) {
    this.#root = root;
    this.#bases = new Map(bases.map((base) => [base.name, base]));
  }

  /** Writes an input, passes its folder on, and restores the base's files. */
  async with<T>(input: Input, use: (folder: string) => Promise<T>): Promise<T> {
    const base = this.#bases.get(input.base);
    if (base === undefined) throw new Error(`no base '${input.base}'`);
    const folder = this.#fill(base);
    for (const [name, bytes] of input.changed) writeFileSync(join(folder, name), bytes);
    try {
      return await use(folder);
    } finally {
      for (const name of input.changed.keys()) {
        const original = base.files.get(name);
        if (original === undefined) rmSync(join(folder, name), { force: true });
        else writeFileSync(join(folder, name), original);
      }
    }
  }

  #fill(base: Base): string {
    const folder = join(this.#root, base.name);
    if (!this.#filled.has(base.name)) {
      mkdirSync(folder, { recursive: true });
      for (const [name, bytes] of base.files) writeFileSync(join(folder, name), bytes);
      this.#filled.add(base.name);
    }
    return folder;
  }
}
