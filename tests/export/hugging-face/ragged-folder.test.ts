import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.ts";
import { writeHuggingFaceFolder } from "../../../src/export/hugging-face/write-hugging-face.ts";
import { cutExpert } from "../../../src/surgery/expert.ts";
import type { Expert } from "../../../src/surgery/expert.ts";
import { cardInput } from "../../support/cards.ts";
import { ourLogits, worstRelativeError } from "../../support/forward-goldens.ts";
import { planOf } from "../../support/plans.ts";
import { RAGGED_CUTS } from "../../support/ragged.ts";
import { referenceLogits } from "../../support/reference-forward.ts";
import type { ReferenceTensor } from "../../support/reference-forward.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../../support/tiny-models.ts";
import type { TinyModel } from "../../support/tiny-models.ts";

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];
const MODULE = "modeling_cusprun_ragged.py";

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-ragged-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

async function logitsOf(expert: Expert): Promise<number[]> {
  const tensors = new Map<string, ReferenceTensor>();
  for (const tensor of expert.tensors) tensors.set(tensor.name, { shape: tensor.shape, values: await tensor.readFloat32() });
  return referenceLogits(expert.configJson, tensors, IDS).flatMap((row) => Array.from(row));
}

async function write(model: TinyModel, layout: "ragged" | "masked", cuts: Parameters<typeof planOf>[1]): Promise<Expert> {
  const plan = planOf(layout, cuts);
  const checkpoint = tinyCheckpoint(model);
  const expert = cutExpert(checkpoint, plan);
  const options = { plan, card: cardInput(model.config), overwrite: true };
  await writeHuggingFaceFolder(expert, await checkpoint.readTokenizerFiles(), join(home, "expert"), options);
  return expert;
}

test.each(TINY_FAMILIES)("%s: reopened, the logits of the masked model", async (family) => {
  const model = tinyModel(family);
  const masked = await logitsOf(cutExpert(tinyCheckpoint(model), planOf("masked", RAGGED_CUTS)));
  const expert = await write(model, "ragged", RAGGED_CUTS);
  // Both in f64, with sums in a different order.
  expect(worstRelativeError(await logitsOf(expert), masked)).toBeLessThan(1e-12);

  const folder = join(home, "expert");
  expect(await readdir(folder)).toContain(MODULE);
  expect(await readFile(join(folder, "README.md"), "utf8")).toContain("trust_remote_code=True");
  const reopened = await openCheckpoint(folder);
  expect(reopened.config).toEqual(expert.config);
  expect(
    reopened.config.layerSizes.map(({ intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G }) => [F, H, G]),
  ).toEqual([
    [32, 3, 3],
    [33, 2, 1],
    [24, 6, 3],
  ]);
  expect(worstRelativeError(await ourLogits(reopened, IDS), masked)).toBeLessThan(2e-5);

  // Pruned again, by masking: the folder still needs its Python file.
  const again = cutExpert(reopened, planOf("masked", [{ ffn: [31] }, { head: [1] }, {}]));
  expect(again.configJson["model_type"]).toBe(expert.configJson["model_type"]);
  await reopened.close();
});

test("a ragged plan that removes nothing leaves the stock model", async () => {
  const model = tinyModel("llama");
  const expert = await write(model, "ragged", [{}, {}, {}]);
  expect(expert.configJson).toEqual(model.configJson);
  expect(await readdir(join(home, "expert"))).not.toContain(MODULE);
});

const sizes = (heads: number, groups: number): object => ({
  intermediate_size: 8,
  num_attention_heads: heads,
  num_key_value_heads: groups,
});

test.each<[string, unknown, RegExp]>([
  ["no sizes", undefined, /layer_widths: found nothing.*each of the 3 layers/],
  ["too few", [{}], /layer_widths: found \[\{\}\].*each of the 3 layers/],
  ["a layer that is no object", [1, 2, 3], /layer_widths\[0\]: found 1.*an object/],
  ["a layer without heads", [{ intermediate_size: 8 }, {}, {}], /num_attention_heads: found nothing/],
  ["heads that do not share evenly", [sizes(3, 2), sizes(3, 3), sizes(3, 3)], /2 with 3 query heads/],
  ["another width than the weights", [sizes(3, 3), sizes(3, 3), sizes(3, 3)], /\[8, 30\]/],
])("a folder with %s is rejected", async (_, widths, message) => {
  await write(tinyModel("llama"), "ragged", RAGGED_CUTS);
  const path = join(home, "expert", "config.json");
  const json = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...json, layer_widths: widths }));
  await expect(openCheckpoint(join(home, "expert"))).rejects.toThrow(message);
});
