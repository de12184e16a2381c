import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { formatPlan, parsePlan, readPlan, writePlan } from "../../src/selection/plan-file.ts";
import { selectUnits } from "../../src/selection/select.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import { planOf } from "../support/plans.ts";
import { tinyModel } from "../support/tiny-models.ts";

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-plan-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

describe("a plan file", () => {
  it.each([
    { layout: "masked", granularity: "matrix" },
    { layout: "masked", kinds: ["ffn", "head", "value-dim"], allocation: "global" },
    { layout: "uniform", kinds: ["ffn", "kv-group"], snap: 8 },
    { layout: "uniform", kinds: ["layer"] },
  ] as const)("reads back what was written: %j", async (choice) => {
    const { config } = tinyModel("llama");
    const plan = await selectUnits(madeUpScores(config), {
      dimensions: ["language", "task"],
      budget: "20% of blocks",
      ...choice,
    });
    const path = join(home, "plan.json");
    await writePlan(path, plan);
    expect(await readPlan(path)).toEqual(plan);
  });

  it("is readable: each list of units on one line, texts unchanged", () => {
    const plan = planOf("masked", [{ ffn: [0, 3, 12] }], { budget: "[1,   2]\n[\n3]" });
    const text = formatPlan(plan);
    expect(text).toContain('"removed": [0, 3, 12]');
    expect(JSON.parse(text)).toEqual(plan);
  });

  const good = JSON.parse(formatPlan(planOf("uniform", [{ ffn: [0, 1] }, { ffn: [2, 3] }]))) as Record<string, unknown>;
  const withCut = (cut: unknown, kind = "ffn"): unknown => ({ ...good, layers: [{ layer: 0, cuts: { [kind]: cut } }] });
  const cut = (removed: unknown): unknown => ({ removed, irrelevantShare: {}, why: {} });

  it.each<[string, unknown, RegExp]>([
    ["no object", [], /plan\.json: found \[\].*an object/],
    ["another version", { ...good, formatVersion: 1 }, /formatVersion: found 1, expected 2/],
    ["an unknown layout", { ...good, layout: "round" }, /layout: found "round".*masked or uniform or ragged/],
    ["matrices in uniform", { ...good, granularity: "matrix" }, /granularity/],
    ["layers that are not a list", { ...good, layers: {} }, /layers: found \{\}/],
    ["layers out of order", { ...good, layers: [{ layer: 1, cuts: {} }] }, /layer 0: layer: found 1/],
    ["an unknown kind", withCut(cut([0]), "neuron"), /cuts: neuron.*no such kind.*ffn, head, kv-group/],
    ["whole layers of a ragged plan", { ...(withCut(cut([0]), "layer") as object), layout: "ragged" }, /layer.*no such kind/],
    ["whole layers of a masked plan", { ...(withCut(cut([0]), "layer") as object), layout: "masked" }, /layer.*no such kind/],
    ["a kind of another layout", withCut(cut([0]), "value-dim"), /value-dim.*no such kind/],
    [
      "the key __proto__",
      JSON.parse(JSON.stringify(withCut(cut([0]), "x")).replace('"x"', '"__proto__"')),
      /__proto__.*no such kind/,
    ],
    ["descending indices", withCut(cut([3, 2])), /cuts: ffn: removed: found \[3,2\].*ascending/],
    ["an index twice", withCut(cut([2, 2])), /ascending/],
    ["a negative index", withCut(cut([-1])), /from 0/],
    ["half an index", withCut(cut([0.5])), /whole numbers/],
    ["a text for an index", withCut(cut(["0"])), /whole numbers/],
    ["no indices", withCut(cut(undefined)), /removed: found nothing/],
    ["an unknown dimension", { ...good, weights: { style: 1 } }, /weights: style.*no such dimension.*language, domain, task/],
    ["a weight that is not a number", { ...good, weights: { task: "1" } }, /weights: task: found "1"/],
    [
      "a negative count",
      { ...good, parameters: { total: 1, blocks: 1, requested: 1, removed: -1 } },
      /parameters: removed: found -1/,
    ],
  ])("with %s is refused", (_, json, message) => {
    expect(() => parsePlan(json, "plan.json")).toThrowError(
      expect.objectContaining({ code: "PLAN_INVALID", message: expect.stringMatching(message) }),
    );
  });

  it("that is truncated or absent is refused", async () => {
    const path = join(home, "plan.json");
    await writePlan(path, planOf("masked", [{ ffn: [1] }]));
    await writeFile(path, (await readFile(path, "utf8")).slice(0, 200));
    await expect(readPlan(path)).rejects.toMatchObject({
      code: "PLAN_INVALID",
      message: expect.stringMatching(/invalid JSON.*cusprun select/),
    });
    await expect(readPlan(join(home, "absent.json"))).rejects.toMatchObject({
      code: "PLAN_INVALID",
      message: expect.stringMatching(/ENOENT.*cusprun select/),
    });
  });
});
