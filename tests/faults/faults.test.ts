/**
 * @file A short part of the trials, with a fixed seed: kills, full disks, inputs that change, two runs at once. The
 * long run is `npm run faults` (CONTRIBUTING.md, "Tests").
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const RUN = fileURLToPath(new URL("run.mjs", import.meta.url));

/** The trials of each kind. Two commands are enough for the ways of writing: a folder and files. */
const SHORT = ["--kills", "6", "--full-disks", "3", "--changes", "3", "--pairs", "2", "--seed", "1"];

test("nothing is half, lost or left, and the next run gives the bytes of an unbroken one", { timeout: 900_000 }, () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUN, ...SHORT, "--commands", "prune,export to gguf"], {
    encoding: "utf8",
  });
  expect({ status, said: status === 0 ? "" : stdout + stderr }).toEqual({ status: 0, said: "" });
});
