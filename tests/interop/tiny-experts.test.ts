/**
 * @file Tiny uniform and masked experts of every family in stock transformers: no missing or unexpected keys, and the
 * logits of the f64 reference.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeHuggingFaceFolder } from "../../src/export/hugging-face/write-hugging-face.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { cardInput } from "../support/cards.ts";
import { planOf } from "../support/plans.ts";
import type { Removed } from "../support/plans.ts";
import { referenceLogits } from "../support/reference-forward.ts";
import type { ReferenceTensor } from "../support/reference-forward.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";
import { runPython } from "./python.ts";

interface Loaded {
  readonly dtype: string;
  readonly config_class: string;
  readonly logits: readonly (readonly number[])[];
}

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];

/** Removes one head of each group: 3 of 6 are kept. */
const HEADS: readonly Removed[] = [
  { ffn: [0, 3, 4, 5, 17, 30, 38, 39], head: [0, 3, 4] },
  { ffn: [1, 2, 9, 11, 12, 13, 14, 35], head: [1, 2, 5] },
  { ffn: [0, 1, 2, 3, 4, 5, 6, 7], head: [0, 2, 4] },
];
/** Removes one group: 4 heads are kept, which do not divide the hidden size of 30. */
const GROUPS: readonly Removed[] = [
  { ffn: [0], "kv-group": [0] },
  { ffn: [39], "kv-group": [2] },
  { ffn: [7], "kv-group": [1] },
];

/** Removes the middle one of three layers. */
const LAYERS: readonly Removed[] = [{}, { layer: [0] }, {}];
const CUTS = { heads: HEADS, groups: GROUPS, layers: LAYERS };

/** Both compute from the same weights, transformers in f32: its sums of 30 to 40 products have errors of about 1e-6. */
const TOLERANCE = 1e-5;

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-interop-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

const cases = TINY_FAMILIES.flatMap((family) =>
  (["uniform", "masked"] as const).flatMap((layout) =>
    (["heads", "groups", "layers"] as const).map(
      (units) => ({ family, layout, units, dtype: layout === "masked" ? "BF16" : "F32" }) as const,
    ),
  ),
).filter(
  ({ family, layout, units }) =>
    !(family === "gemma3" && layout === "uniform" && units === "groups") && !(layout === "masked" && units === "layers"),
);

test.each(cases)("$family, $layout, $units, $dtype", async ({ family, layout, units, dtype }) => {
  const model = tinyModel(family);
  const checkpoint = tinyCheckpoint(model, dtype);
  const plan = planOf(layout, CUTS[units]);
  const expert = cutExpert(checkpoint, plan);
  const out = join(home, "expert");
  // One case has small shards, so that the index is tested too.
  const maxShardBytes = units === "heads" ? 20_000 : 5e9;
  await writeHuggingFaceFolder(expert, await checkpoint.readTokenizerFiles(), out, {
    plan,
    card: cardInput(model.config),
    maxShardBytes,
  });

  const loaded = await runPython<Loaded>("../reference/check_loads.py", [out, IDS.join(",")]);
  expect(loaded.dtype).toBe(dtype === "F32" ? "float32" : "bfloat16");
  const written = String(expert.configJson["model_type"]).replace(/_text$/, "");
  expect(loaded.config_class.toLowerCase()).toMatch(new RegExp(`^${written}(text)?config$`));
  expect(written).toBe(family === "llama" && layout === "uniform" && units === "groups" ? "mistral" : family);
  const tensors = new Map<string, ReferenceTensor>();
  for (const tensor of expert.tensors) tensors.set(tensor.name, { shape: tensor.shape, values: await tensor.readFloat32() });
  const expected = referenceLogits(expert.configJson, tensors, IDS).flatMap((row) => Array.from(row));
  const actual = loaded.logits.flat();
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  expect(Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!))) / scale).toBeLessThan(TOLERANCE);
});
