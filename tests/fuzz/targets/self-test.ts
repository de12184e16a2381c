/**
 * @file A target with planted faults, for the test of the fuzzer itself.
 */

import { CusprunError } from "../../../src/errors.ts";
import type { Target } from "../target.ts";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const FILE = "what.txt";
const PARTS = { where: "a file", found: "one thing", expected: "another", remedy: "Correct it" };
const HUNDRED_MIB = 100 * 2 ** 20;

/** Faults by the first byte of the input, so that a short range has each of them. */
const ACTS: readonly (() => Promise<void> | void)[] = [
  () => {},
  () => {
    throw new CusprunError("USAGE", PARTS);
  },
  () => {
    throw new TypeError("a planted crash");
  },
  () => {
    throw new CusprunError("USAGE", { ...PARTS, remedy: "" });
  },
  () => {
    throw new CusprunError("USAGE", { ...PARTS, found: "x".repeat(3000) });
  },
  () => {
    for (let i = 0; ; i++) if (i < 0) return;
  },
  () => process.abort(),
  () => {
    const kept = Array.from({ length: 6 }, () => Buffer.alloc(HUNDRED_MIB, 1));
    if (kept.length === 0) throw new Error("never");
  },
  async () => {
    void Promise.reject(new Error("a planted stray rejection"));
    await new Promise((resolve) => setTimeout(resolve, 10));
  },
];

/** One input per act: index n does act n. */
export const selfTest: Target = {
  name: "self-test",
  bases: async () => [{ name: "only", files: new Map([[FILE, Buffer.from([0])]]), changed: [FILE] }],
  mutate: (_, __, random) => Buffer.from([random.below(ACTS.length)]),
  run: async (folder) => {
    const act = ACTS[readFileSync(join(folder, FILE))[0]!]!;
    await act();
  },
};
