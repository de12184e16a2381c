/**
 * @file Plans: read, checked against a tiny model, applied to it, and every tensor of the expert read.
 */

import { join } from "node:path";
import { identifyModel } from "../../../src/checkpoint/identity.ts";
import { CusprunError } from "../../../src/errors.ts";
import { formatPlan, parsePlan, readPlan } from "../../../src/selection/plan-file.ts";
import { checkPlannedModel } from "../../../src/selection/plan-model.ts";
import type { PrunePlan } from "../../../src/selection/plan.ts";
import { cutExpert } from "../../../src/surgery/expert.ts";
import { expertCheckpoint } from "../../../src/surgery/expert-checkpoint.ts";
import { planOf } from "../../support/plans.ts";
import { tinyCheckpoint } from "../../support/tiny-models.ts";
import { smallSentencePiece } from "../../support/trimmed-vocabularies.ts";
import { mustHold } from "../broken.ts";
import { mutateJson } from "../mutate/json.ts";
import type { Base, Target } from "../target.ts";
import { SMALL_SIZES, smallModel } from "./small-models.ts";

const V = SMALL_SIZES.vocabSize;
const NONE = { splits: { language: 0.01 } };

const PLANS: Readonly<Record<string, PrunePlan>> = {
  ragged: planOf("ragged", [
    { ffn: [0, 3, 4], head: [1, 3] },
    { ffn: [1, 2], "kv-group": [1] },
  ]),
  uniform: planOf("uniform", [
    { ffn: [0, 3, 4], "kv-group": [1] },
    { ffn: [1, 2, 7], "kv-group": [0] },
  ]),
  layers: planOf("uniform", [{ layer: [0] }, {}]),
  masked: planOf("masked", [{ ffn: [0], "value-dim": [1, 2], "rotary-pair": [3] }, { head: [2] }]),
  matrix: planOf(
    "masked",
    [
      { "matrix:gate": [1], "matrix:o": [0, 3] },
      { "matrix:q": [5], "matrix:v": [2] },
    ],
    {
      granularity: "matrix",
    },
  ),
  vocabulary: planOf("uniform", [{}, {}], { vocabulary: { size: V, removed: [275, 276], ...NONE } }),
};

/** The model that a plan names, and others of the same sizes: other weights, another family. */
const NAMED = smallModel("llama");
const OTHERS = [
  { ...NAMED, tensors: new Map([...NAMED.tensors].map(([name, tensor]) => [name, negated(tensor)])) },
  smallModel("mistral"),
];

function negated<Tensor extends { readonly values: Float32Array }>(tensor: Tensor): Tensor {
  return { ...tensor, values: tensor.values.map((value) => -value) };
}

/** Plans by name, the last one for a model that it names. */
async function plans(): Promise<Readonly<Record<string, PrunePlan>>> {
  return { ...PLANS, named: { ...PLANS["ragged"]!, model: await identifyModel(tinyCheckpoint(NAMED)) } };
}

/** A plan that names a model is refused for every other one. */
async function checkNamedModel(read: PrunePlan): Promise<void> {
  for (const other of OTHERS) {
    const identity = await identifyModel(tinyCheckpoint(other));
    mustHold(
      isRefused(() => checkPlannedModel(read, identity, "another model", "plan.json")),
      "a plan is applied to its own model",
    );
  }
  checkPlannedModel(read, await identifyModel(tinyCheckpoint(NAMED)), "its model", "plan.json");
}

function isRefused(check: () => void): boolean {
  try {
    check();
    return false;
  } catch (error) {
    if (!(error instanceof CusprunError) || error.code !== "PLAN_MISMATCH") throw error;
    return true;
  }
}

/** Every text of a plan is read, then the plan is applied. */
export const plan: Target = {
  name: "plan",
  weight: 3,
  bases: async () =>
    Object.entries(await plans()).map(([name, made]): Base => ({
      name,
      files: new Map([["plan.json", Buffer.from(formatPlan(made))]]),
      changed: ["plan.json"],
    })),
  mutate: (_, contents, random) => Buffer.from(mutateJson(contents.toString(), random)),
  run: async (folder, random) => {
    const read = await readPlan(join(folder, "plan.json"));
    if (read.model !== null) await checkNamedModel(read);
    const model = read.model === null ? smallModel(random.pick(["llama", "qwen2"])) : NAMED;
    const checkpoint = { ...tinyCheckpoint(model), readTokenizerFiles: async () => smallSentencePiece() };
    const expert = cutExpert(checkpoint, read);
    for (const tensor of expert.tensors) await tensor.readFloat32();
    await expertCheckpoint(checkpoint, read, expert).readTokenizerFiles();
    const written = formatPlan(read);
    mustHold(
      formatPlan(parsePlan(JSON.parse(written), "plan")) === written,
      "a plan that is written with an expert can be read again",
    );
  },
};
