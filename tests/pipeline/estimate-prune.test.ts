/** @file What a run will take: the stages that are left, the sizes that come out, and nothing written. */

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { estimatePrune } from "../../src/pipeline/estimate-prune.ts";
import type { PruneOptions } from "../../src/pipeline/prepare-prune.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import type { ProgressEvent, StageTime } from "../../src/progress.ts";
import { preparePrune } from "../support/prune-runs.ts";
import { withFolder } from "../support/temporary-folder.ts";

const stagesOf = (stages: readonly StageTime[]): [string, boolean][] => stages.map(({ stage, reused }) => [stage, reused]);

/** Runs, and returns what it told and which stages it had. */
async function run(options: PruneOptions): Promise<{ plans: (readonly StageTime[])[]; events: ProgressEvent[] }> {
  const plans: (readonly StageTime[])[] = [];
  const events: ProgressEvent[] = [];
  await pruneModel({ ...options, onPlan: (stages) => plans.push(stages), onProgress: (event) => events.push(event) });
  return { plans, events };
}

test("every stage of a run is told, with a time, its memory and the sizes that come out; nothing is left", () =>
  withFolder(async (folder) => {
    const options = await preparePrune(folder, { formats: ["hf", "onnx"] });
    const before = await readdir(folder, { recursive: true });
    const { stages, seconds, written, memory } = await estimatePrune(options);
    expect(await readdir(folder, { recursive: true })).toEqual(before);
    expect(stagesOf(stages)).toEqual([
      ["scoring", false],
      ["selecting", false],
      ["measuring the dense model", false],
      ["repairing", false],
      ["writing", false],
      ["writing", false],
      ["measuring the expert", false],
    ]);
    expect(stages.every((stage) => stage.seconds > 0)).toBe(true);
    expect(seconds).toBeCloseTo(
      stages.reduce((sum, stage) => sum + stage.seconds, 0),
      9,
    );
    const report = await pruneModel(options);
    expect(memory).toEqual(report.memory);
    expect(written.map(({ label }) => label)).toEqual(report.written.map(({ label }) => label));
    const [hf, onnx] = written.map(({ bytes }, index) => bytes / report.written[index]!.after);
    expect(hf).toBe(1);
    // Without the graph itself, which is a part of so small a file.
    expect(onnx).toBeGreaterThan(0.9);
    expect(onnx).toBeLessThan(1);
  }));

test("what earlier runs did is told as reused, and the stages that run are those that were told", () =>
  withFolder(async (folder) => {
    const options = {
      ...(await preparePrune(folder, { selection: { budget: "25% of blocks", layout: "ragged" } })),
      overwrite: true,
    };
    const first = await run(options);
    expect(first.plans).toHaveLength(1);
    const expensive = ["scoring", "trying cuts", "measuring the dense model", "repairing"];
    expect(stagesOf(first.plans[0]!).filter(([stage]) => expensive.includes(stage))).toEqual(
      expensive.map((stage) => [stage, false]),
    );
    const planned = first.events.filter(({ run: progress }) => progress !== undefined);
    expect(new Set(planned.map(({ stage }) => stage))).toEqual(
      new Set([...first.plans[0]!.map(({ stage }) => stage), "reading the damage"]),
    );
    expect(planned.at(-1)!.run!.share).toBeGreaterThan(0.5);

    const { stages } = await estimatePrune(options);
    expect(stagesOf(stages).filter(([stage]) => expensive.includes(stage))).toEqual(expensive.map((stage) => [stage, true]));
    const again = await run(options);
    expect(stagesOf(again.plans[0]!)).toEqual(stagesOf(stages));
    expect(expensive.filter((stage) => again.events.some((event) => event.stage === stage))).toEqual([]);
  }));

test("the machine's speed is measured once for a work folder, and a record that is not one is not taken", () =>
  withFolder(async (folder) => {
    const options = { ...(await preparePrune(folder)), overwrite: true };
    const first = await run(options);
    const [model] = await readdir(join(folder, "work"));
    const record = join(folder, "work", model!, "speed.json");
    const { mtimeMs } = await stat(record);
    const again = await run({ ...options, selection: { budget: "30% of blocks", layout: "uniform" } });
    expect((await stat(record)).mtimeMs).toBe(mtimeMs);
    const ofExpert = (plans: readonly (readonly StageTime[])[]): number => plans[0]!.at(-1)!.seconds;
    // Smaller, at the same speed.
    expect(ofExpert(again.plans)).toBeLessThan(ofExpert(first.plans));
  }));

test("refuses what a run would refuse", () =>
  withFolder(async (folder) => {
    const options = await preparePrune(folder);
    const refused = async (changes: Partial<PruneOptions>): Promise<string> =>
      estimatePrune({ ...options, ...changes }).then(
        () => "nothing",
        ({ code }: { code: string }) => code,
      );
    expect(await refused({ memoryLimit: 1e8 })).toBe("MEMORY_LIMIT");
    expect(await refused({ out: options.model })).toBe("OUTPUT_EXISTS");
    expect(await refused({ selection: { budget: "99%", layout: "uniform" } })).toBe("BUDGET_UNREACHABLE");
    expect(await readdir(folder)).not.toContain("work");
  }));
