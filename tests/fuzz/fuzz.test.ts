/**
 * @file The short run of the fuzzer: fixed seeds, every input that once failed, and the fuzzer on planted faults.
 */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import type { TargetReport } from "./campaign.ts";
import type { Defect } from "./keep.ts";
import { SCRATCH } from "./paths.ts";

const FOLDER = import.meta.dirname;
/** Inputs of the short run in all. */
const INPUTS = 2000;
const SEED = 19;
/** The run takes a minute of processor time in all, and longer on a busy machine. */
const TIMEOUT_MS = 600_000;

interface Report {
  readonly reports: readonly TargetReport[];
  readonly kept: readonly Defect[];
}

function run(options: readonly string[]): { readonly status: number | null; readonly stdout: string } {
  return spawnSync(process.execPath, [join(FOLDER, "dist/tests/fuzz/main.js"), ...options], { encoding: "utf8" });
}

function report(options: readonly string[]): Report {
  const folder = mkdtempSync(join(tmpdir(), "cusprun-fuzz-test-"));
  try {
    const path = join(folder, "report.json");
    run([...options, "--json", path]);
    return JSON.parse(readFileSync(path, "utf8")) as Report;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

beforeAll(() => {
  const { status, stderr } = spawnSync(process.execPath, [join(FOLDER, "build.mjs")], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}, TIMEOUT_MS);

test(
  "every planted fault is found, reproduced alone, and named",
  () => {
    const { reports, kept } = report(["--target", "self-test", "--inputs", "20", "--hang-seconds", "1"]);
    expect(reports[0]!.inputs).toBe(20);
    expect(new Set(kept.map(({ fault }) => fault))).toEqual(new Set(["crash", "message", "hang", "ended", "memory"]));
    expect(kept.filter(({ isConfirmed }) => !isConfirmed)).toEqual([]);
    expect(kept.map(({ detail }) => detail).join("\n")).toContain("a planted crash");
  },
  TIMEOUT_MS,
);

test.each(["SIGINT", "SIGTERM", "SIGKILL"] as const)(
  "a run that ends by %s leaves nothing, or what the next one removes",
  async (signal) => {
    const child = spawn(process.execPath, [join(FOLDER, "dist/tests/fuzz/main.js"), "--target", "plan"], { stdio: "ignore" });
    const left = (): string[] => readdirSync(SCRATCH).filter((name) => name.includes(`-${child.pid}-`));
    while (left().length === 0) await setTimeout(20);
    child.kill(signal);
    await once(child, "exit");
    if (signal === "SIGKILL") run(["--target", "plan", "--inputs", "1"]);
    expect(left()).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "inputs that once failed are accepted or refused",
  () => {
    const { status, stdout } = run(["--corpus"]);
    expect(stdout.split("\n").filter((line) => !line.includes("inputs that once failed") && line !== "")).toEqual([]);
    expect(status).toBe(0);
  },
  TIMEOUT_MS,
);

/** Results of a comparison, work folders and YAML files are refused for one reason: they are not in the format. */
const ONE_REASON: ReadonlySet<string> = new Set(["comparison", "work", "settings"]);

test(
  "no input of a fixed seed crashes, hangs or takes too much memory",
  () => {
    const { reports, kept } = report(["--inputs", String(INPUTS), "--seed", String(SEED)]);
    expect(kept).toEqual([]);
    // Otherwise nothing but first lines of checks would be tested.
    for (const { target, accepted, refused } of reports) {
      expect(accepted, target).toBeGreaterThan(0);
      expect(Object.keys(refused).length, target).toBeGreaterThan(ONE_REASON.has(target) ? 0 : 1);
    }
  },
  TIMEOUT_MS,
);
