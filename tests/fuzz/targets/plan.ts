/**
 * @file Plans: read, checked against a tiny model, applied to it, and every tensor of the expert read.
 */

import { join } from "node:path";
import { formatPlan, parsePlan, readPlan } from "../../../src/selection/plan-file.ts";
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

/** Every text of a plan is read, then the plan is applied. */
export const plan: Target = {
  name: "plan",
  weight: 3,
  bases: async () =>
    Object.entries(PLANS).map(([name, made]): Base => ({
      name,
      files: new Map([["plan.json", Buffer.from(formatPlan(made))]]),
      changed: ["plan.json"],
    })),
  mutate: (_, contents, random) => Buffer.from(mutateJson(contents.toString(), random)),
  run: async (folder, random) => {
    const read = await readPlan(join(folder, "plan.json"));
    const model = smallModel(random.pick(["llama", "qwen2"]));
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
