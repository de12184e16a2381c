/** @file Expected damage of units from trials, against its formula, and its effect on selection. */

import { describe, expect, it } from "vitest";
import { planTrials, unitDamage, type MeasuredTrial } from "../../src/selection/damage.ts";
import { openSelection } from "../../src/selection/selection-context.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import { FFN_PARAMETERS, MODEL, removedOf, select, THREE } from "../support/selections.ts";

const RELEVANCE = [Float64Array.of(3, 1, 2, 4)];
const trial = (removed: readonly number[], damage: number, repaired: boolean): MeasuredTrial => ({
  layer: 0,
  kind: "ffn",
  removed,
  repaired,
  damage: { language: damage },
});
const sumOf = (values: Float64Array, units: readonly number[]): number => units.reduce((sum, unit) => sum + values[unit]!, 0);

describe("expected damage", () => {
  it("is the energy if there was no trial", () => {
    expect([...unitDamage(RELEVANCE, ["language"], undefined)[0]!]).toEqual([9, 1, 4, 16]);
  });

  it("divides a repaired trial's damage by energy, and continues at the same rate", () => {
    const [damage] = unitDamage(RELEVANCE, ["language"], trial([1, 2], 10, true));
    expect([...damage!]).toEqual([18, 2, 8, 32]);
    expect(sumOf(damage!, [1, 2])).toBe(10);
  });

  it("grows with the square of the lost energy if the trial was not repaired", () => {
    const [damage] = unitDamage(RELEVANCE, ["language"], trial([1, 2], 10, false));
    const [smallest, next, third] = [1, 2, 0].map((unit) => damage![unit]!);
    expect(smallest! + next!).toBeCloseTo(10, 12);
    expect(smallest! + next! + third!).toBeCloseTo(10 * (14 / 5) ** 2, 12);
    expect(sumOf(damage!, [0, 1, 2, 3])).toBeCloseTo(10 * (30 / 5) ** 2, 12);
  });

  it("differs by dimension", () => {
    const values = [Float64Array.of(1, 1), Float64Array.of(1, 3)];
    const measured: MeasuredTrial = { layer: 0, kind: "ffn", removed: [0], repaired: true, damage: { language: 2, task: 5 } };
    expect(unitDamage(values, ["language", "task"], measured).map((each) => [...each])).toEqual([
      [2, 2],
      [5, 45],
    ]);
  });
});

describe("trials", () => {
  it("remove the least relevant units of every layer and kind, in shapes that a block can have", async () => {
    const context = await openSelection(madeUpScores(MODEL.config), {
      dimensions: THREE,
      budget: "10%",
      layout: "ragged",
      kinds: ["ffn", "head", "kv-group"],
      trials: "pending",
    });
    const trials = planTrials(context, true);
    for (let layer = 0; layer < 4; layer++) {
      const own = trials.filter((each) => each.layer === layer);
      expect(own.map(({ kind, removed }) => [kind, removed.length])).toEqual([
        ["ffn", 32],
        ["head", 3],
        ["kv-group", 1],
      ]);
      expect(own[1]!.removed.map((head) => Math.floor(head / 2))).toEqual([0, 1, 2]);
    }
  });

  it("move the cut to the layers to which the model is least sensitive", async () => {
    const flat = { relevance: (_layer: number, _kind: string, _document: number, unit: number) => 1 + unit / 100 };
    const removed = Array.from({ length: 32 }, (_, unit) => unit);
    const trials = [8, 4, 2, 1].map((damage, layer): MeasuredTrial => ({
      layer,
      kind: "ffn",
      removed,
      repaired: true,
      damage: { language: damage, domain: damage, task: damage },
    }));
    const budget = `${(48 + 48 + 16) * FFN_PARAMETERS} params`;
    const plan = await select({ layout: "ragged", snap: 8, budget, floor: 0.25, trials }, flat);
    expect(removedOf(plan).map((units) => units.length)).toEqual([0, 16, 48, 48]);
  });

  it("are required for allocation damage", async () => {
    await expect(select({ layout: "ragged", allocation: "damage" })).rejects.toMatchObject({ code: "SELECTION_INVALID" });
    await expect(select({ layout: "uniform", allocation: "damage", trials: "pending" })).rejects.toMatchObject({
      code: "LAYOUT_UNSUPPORTED",
    });
  });
});
