/** @file Damage of trial cuts, against a direct formula on logits of models in which the cut units are zero. */
import { expect, test } from "vitest";
import type { TokenDocument } from "../../src/corpora/corpus.ts";
import { measureLayerDamage } from "../../src/evaluation/layer-damage.ts";
import { forward } from "../../src/model/forward.ts";
import { computeLogits } from "../../src/model/output-head.ts";
import { asWeightSource, cutExpert } from "../../src/surgery/expert.ts";
import { planOf } from "../support/plans.ts";
import { TINY_FAMILIES, seededNormal, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";
import type { TinyModel } from "../support/tiny-models.ts";

/** Divergences are differences of logits of a few tenths, computed from f32 products in another order. */
const TOLERANCE = 1e-3;

/** Σ p (log p − log q) of every row, by definition, in f64. */
function divergences(p: Float32Array, q: Float32Array, V: number): number[] {
  const logs = (logits: Float32Array): number[] => {
    const highest = Math.max(...logits);
    const logSum = Math.log(logits.reduce((sum, value) => sum + Math.exp(value - highest), 0));
    return Array.from(logits, (value) => value - highest - logSum);
  };
  return Array.from({ length: p.length / V }, (_, row) => {
    const [a, b] = [logs(p.subarray(row * V, (row + 1) * V)), logs(q.subarray(row * V, (row + 1) * V))];
    return a.reduce((sum, log, token) => sum + Math.exp(log) * (log - b[token]!), 0);
  });
}

async function logitsOf(model: TinyModel, document: TokenDocument): Promise<Float32Array> {
  const checkpoint = tinyCheckpoint(model, "F32");
  const [states] = await forward(checkpoint, [document], "test", {});
  return computeLogits(checkpoint, states!, {});
}

test.each(TINY_FAMILIES)("%s: the mean divergence of every trial on every document", async (family) => {
  const model = tinyModel(family);
  const { numHiddenLayers: L, vocabSize: V } = model.config;
  const random = seededNormal(5);
  const documents: TokenDocument[] = [9, 17, 12].map((length) => ({
    tokens: Int32Array.from({ length }, () => Math.floor(Math.abs(random() * 1e4)) % V),
    byteLength: 1,
    source: "",
  }));
  const removed = [0, 2, 3, 6, 9];
  const checkpoint = tinyCheckpoint(model, "F32");
  const trials = Array.from({ length: L }, (_, layer) => {
    const plan = planOf(
      "ragged",
      Array.from({ length: L }, (__, index) => (index === layer ? { ffn: removed } : {})),
    );
    return { layer, cut: asWeightSource(cutExpert(checkpoint, plan)), repair: null };
  });
  const done: number[] = [];
  const damage = await measureLayerDamage(
    checkpoint,
    trials,
    { measured: documents, fitted: [] },
    {
      onProgress: (event) => done.push(event.done / event.total!),
    },
  );
  expect(done.at(-1)).toBe(1);
  for (const { layer } of trials) {
    const name = `model.layers.${layer}.mlp.down_proj.weight`;
    const { shape, values } = model.tensors.get(name)!;
    const kept = values.map((value, index) => (removed.includes(index % shape[1]!) ? 0 : value));
    const zeroed = { ...model, tensors: new Map([...model.tensors, [name, { shape, values: kept }]]) };
    for (const [index, document] of documents.entries()) {
      const expected = divergences(await logitsOf(model, document), await logitsOf(zeroed, document), V);
      const mean = expected.reduce((sum, value) => sum + value, 0) / expected.length;
      expect(mean).toBeGreaterThan(0);
      expect(Math.abs(damage[layer]![index]! / mean - 1)).toBeLessThan(TOLERANCE);
    }
  }
});

test("a trial is measured after the repair of its layer", async () => {
  const model = tinyModel("llama");
  const { numHiddenLayers: L, vocabSize: V } = model.config;
  const F = model.config.layerSizes[1]!.intermediateSize;
  // Unit 2i + 1 of layer 1 becomes a copy of unit 2i in gate and up: the kept one can replace both.
  for (const role of ["gate", "up"]) {
    const { shape, values } = model.tensors.get(`model.layers.1.mlp.${role}_proj.weight`)!;
    const D = shape[1]!;
    for (let unit = 0; unit + 1 < F; unit += 2) values.copyWithin((unit + 1) * D, unit * D, (unit + 1) * D);
  }
  const random = seededNormal(6);
  const texts = (count: number): TokenDocument[] =>
    Array.from({ length: count }, () => ({
      tokens: Int32Array.from({ length: 30 }, () => Math.floor(Math.abs(random() * 1e4)) % V),
      byteLength: 1,
      source: "",
    }));
  const removed = Array.from({ length: F / 2 }, (_, index) => 2 * index + 1);
  const plan = planOf(
    "ragged",
    Array.from({ length: L }, (_, layer) => (layer === 1 ? { ffn: removed } : {})),
  );
  const checkpoint = tinyCheckpoint(model, "F32");
  const cut = asWeightSource(cutExpert(checkpoint, plan));
  const trials = ([null, "down"] as const).map((repair) => ({ layer: 1, cut, repair }));
  const [left, repaired] = await measureLayerDamage(checkpoint, trials, { measured: texts(2), fitted: texts(8) }, {});
  // Ridge strength 1 leaves half of the missing part, a quarter of its energy; the kept units share it.
  for (const [index, damage] of repaired!.entries()) expect(damage).toBeLessThan(0.5 * left![index]!);
});
