import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CusprunError } from "../../src/errors.ts";
import { formatPlan, parsePlan, readPlan, writePlan } from "../../src/selection/plan-file.ts";
import { selectUnits } from "../../src/selection/select.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import { planOf } from "../support/plans.ts";
import { tinyModel } from "../support/tiny-models.ts";

type Json = Record<string, unknown>;

/** The paths of all keys of a JSON value. */
function placesOf(value: unknown, above: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [[...above, key], ...placesOf(inner, [...above, key])]);
}

/** The value with another one at a path of keys; undefined removes the key. */
function changed(json: Json, keys: readonly string[], value: unknown): Json {
  const copy = structuredClone(json);
  let parent = copy;
  for (const key of keys.slice(0, -1)) parent = parent[key] as Json;
  if (value === undefined) delete parent[keys.at(-1)!];
  else parent[keys.at(-1)!] = value;
  return copy;
}

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

  const withModel = (model: object): unknown => ({
    ...good,
    model: { family: "llama", tensors: {}, weights: "0".repeat(64), ...model },
  });
  const nested = (depth: number): unknown => Array.from({ length: depth }).reduce<unknown>((inner) => [inner], 1);

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
    ["an infinite weight", { ...good, weights: { task: Infinity } }, /weights: task: found Infinity.*a number/],
    ["an unknown aggregate", { ...good, aggregate: "median" }, /plan\.json: aggregate: found "median".*quantile/],
    ["no model", { ...good, model: undefined }, /model: found nothing, expected an object/],
    ["a model without weights", { ...good, model: { family: "llama", tensors: {} } }, /model: weights: found nothing.*a text/],
    ["a shortened identity", withModel({ weights: "abc" }), /model: weights: found "abc".*SHA-256/],
    ["a shape that is a number", withModel({ tensors: { a: 3 } }), /model: tensors: a: found 3.*one or two sizes/],
    ["a size of zero", withModel({ tensors: { a: [3, 0] } }), /model: tensors: a: found \[3,0\]/],
    ["a key of a million characters", withModel({ tensors: { ["x".repeat(1e6)]: 3 } }), /^.{0,300}$/],
    ["deeply nested values", { ...good, budget: nested(5000) }, /budget: found \[\[\[\[\[…\]\]\]\]\]/],
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

  it("with any value in any place is refused with a code, or cuts the same", async () => {
    const { config } = tinyModel("llama");
    const plan = await selectUnits(madeUpScores(config), { dimensions: ["language"], budget: "20% of blocks", layout: "masked" });
    const json = JSON.parse(formatPlan(plan)) as Json;
    const places = placesOf(json).filter((keys) => !keys.includes("removed"));
    const change = fc.tuple(fc.constantFrom(...places), fc.oneof(fc.jsonValue(), fc.constant(undefined)));
    fc.assert(
      fc.property(change, ([keys, value]) => {
        let made;
        try {
          made = parsePlan(changed(json, keys, value), "plan.json");
        } catch (error) {
          expect(error).toMatchObject({ code: "PLAN_INVALID" });
          return;
        }
        // A whole cut may be absent; one that is there removes the same units.
        const cuts = made.layers.map(({ cuts: own }) => own.ffn?.removed ?? null);
        const before = plan.layers.map(({ cuts: own }) => own.ffn?.removed ?? null);
        expect(cuts.filter((own, layer) => own !== null && !isDeepStrictEqual(own, before[layer]))).toEqual([]);
        expect(made).toMatchObject({ formatVersion: 2, layout: "masked", granularity: "structural" });
      }),
      { numRuns: 500 },
    );
  });

  it("of any bytes is refused with a code, or is a plan", async () => {
    const path = join(home, "plan.json");
    const bytes = Buffer.from(formatPlan(planOf("masked", [{ ffn: [1, 5] }, { head: [0] }])));
    const at = fc.integer({ min: 0, max: bytes.length - 1 });
    await fc.assert(
      fc.asyncProperty(at, fc.integer({ min: 0, max: 255 }), fc.boolean(), async (index, byte, isCut) => {
        const copy = Buffer.from(bytes);
        copy[index] = byte;
        await writeFile(path, isCut ? copy.subarray(0, index) : copy);
        const outcome = await readPlan(path).catch((error: unknown) => error);
        if (outcome instanceof CusprunError) expect(outcome.code).toBe("PLAN_INVALID");
        else expect(outcome).toHaveProperty("layers");
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["nested 100,000 deep", "[".repeat(100_000), /invalid JSON.*nest more than/],
    ["of bytes that are not UTF-8", Uint8Array.of(0x7b, 0xff), /invalid JSON \(bytes that are not UTF-8/],
    ["that is a folder", null, /found a folder/],
  ])("%s is refused", async (_, content, message) => {
    const path = join(home, "plan.json");
    await (content === null ? mkdir(path) : writeFile(path, content));
    await expect(readPlan(path)).rejects.toMatchObject({ code: "PLAN_INVALID", message: expect.stringMatching(message) });
  });

  it("that is a pipe is refused without waiting for its writer", async () => {
    const path = join(home, "pipe.json");
    execFileSync("mkfifo", [path]);
    await expect(readPlan(path)).rejects.toMatchObject({ code: "PLAN_INVALID", message: expect.stringMatching(/found a pipe/) });
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
