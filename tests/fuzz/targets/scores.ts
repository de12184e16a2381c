/**
 * @file Scores files: opened, and a plan selected in every layout.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import type { RelevanceScores } from "../../../src/scoring/relevance.ts";
import { CusprunError } from "../../../src/errors.ts";
import { openScores, planScoresTensors, planVocabularyTensors } from "../../../src/scoring/scores-file.ts";
import { scoresMetadata } from "../../../src/scoring/scores-header.ts";
import { readPlan, writePlan } from "../../../src/selection/plan-file.ts";
import { selectUnits } from "../../../src/selection/select.ts";
import type { SelectionOptions } from "../../../src/selection/selection-options.ts";
import { DIMENSIONS } from "../../../src/corpora/corpus.ts";
import { ALL_KINDS, madeUpScores } from "../../support/made-up-scores.ts";
import { mustHold } from "../broken.ts";
import { mutateSafetensors } from "../mutate/safetensors.ts";
import { mutateJson } from "../mutate/json.ts";
import type { Random } from "../random.ts";
import type { Base, Target } from "../target.ts";
import { FAMILIES, smallModel } from "./small-models.ts";
import { withNumber } from "../mutate/bytes.ts";

const FILE = "scores.safetensors";

const SELECTIONS: readonly Omit<SelectionOptions, "dimensions">[] = [
  { budget: "20% of blocks", layout: "uniform", snap: 1 },
  { budget: "20%", layout: "uniform", snap: 1, kinds: ["ffn", "kv-group"] },
  { budget: "20% of blocks", layout: "ragged", snap: 1, kinds: ["ffn", "head"], allocation: "global" },
  { budget: "10% of blocks", layout: "masked", granularity: "matrix" },
  { budget: "45% of blocks", layout: "uniform", kinds: ["layer"] },
  { budget: "5%", layout: "uniform", snap: 1, vocabulary: { size: 260 } },
];

/** A scores file with every kind of relevance. */
export const scores: Target = {
  name: "scores",
  bases: async () =>
    Promise.all(
      FAMILIES.flatMap((family) =>
        [true, false].map(async (vocabulary): Promise<Base> => {
          const contents = await scoresFile(family, vocabulary);
          return { name: `${family}-${vocabulary ? "tokens" : "units"}`, files: new Map([[FILE, contents]]), changed: [FILE] };
        }),
      ),
    ),
  mutate: (_, contents, random, others) =>
    random.chance(0.5) ? mutateDescription(contents, random) : mutateSafetensors(contents, random, others),
  run: async (folder, random) => {
    const path = join(folder, FILE);
    const opened = checked(await openScores(path));
    const out = join(folder, "plan.json");
    try {
      const dimensions = DIMENSIONS.filter((dimension) =>
        opened.documents.some((document) => document.dimensions.includes(dimension)),
      );
      await opened.readVocabulary();
      const plan = await selectUnits(opened, { ...random.pick(SELECTIONS), dimensions });
      await writePlan(out, plan);
      await mustBeReadable(out);
    } finally {
      await opened.close();
      rmSync(out, { force: true });
    }
  },
};

/** A plan that the program wrote is one that it reads. */
async function mustBeReadable(path: string): Promise<void> {
  await readPlan(path).catch((error: unknown) => {
    if (!(error instanceof CusprunError)) throw error;
    mustHold(false, `the plan that was selected can be read: ${error.message.slice(0, 300)}`);
  });
}

/** Scores whose every number that is read is checked: none is infinite or not a number, and norms are not negative. */
function checked(scores: RelevanceScores): RelevanceScores {
  const check = (values: Float32Array, what: string, isNorm: boolean): Float32Array => {
    const bad = values.find((value) => !Number.isFinite(value) || (isNorm && value < 0));
    mustHold(bad === undefined, `scores hold only finite numbers, not ${bad} in ${what}`);
    return values;
  };
  return {
    model: scores.model,
    config: scores.config,
    fingerprint: scores.fingerprint,
    documents: scores.documents,
    corpora: scores.corpora,
    kinds: scores.kinds,
    read: async (layer, kind) => check(await scores.read(layer, kind), kind, kind !== "ffn-sum" && kind !== "layer"),
    readReference: async (layer, reference) => check(await scores.readReference(layer, reference), reference, true),
    readVocabulary: () => scores.readVocabulary(),
    close: () => scores.close(),
  };
}

/** The description is JSON inside of the header's JSON. */
function mutateDescription(contents: Buffer, random: Random): Buffer {
  const headerEnd = 8 + Number(contents.readBigUInt64LE());
  const header = JSON.parse(contents.toString("utf8", 8, headerEnd)) as Record<string, unknown>;
  const metadata = header["__metadata__"] as Record<string, string>;
  header["__metadata__"] = { ...metadata, scores: mutateJson(metadata["scores"]!, random) };
  const changed = Buffer.from(JSON.stringify(header));
  const whole = Buffer.concat([contents.subarray(0, 8), changed, contents.subarray(headerEnd)]);
  return withNumber(whole, 0, 8, BigInt(changed.length));
}

async function scoresFile(family: (typeof FAMILIES)[number], vocabulary: boolean): Promise<Buffer> {
  const { config } = smallModel(family);
  // Families that normalise queries have no rotary pairs and no rows of q and k that can be cut.
  const made = madeUpScores(config, { kinds: ALL_KINDS, documentsPerDimension: 2 });
  const tensors: { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array }[] = [];
  for (const { name, shape, layer, content } of planScoresTensors(config, made.kinds, made.documents.length)) {
    const values = content.type === "relevance" ? await made.read(layer, content.kind) : await made.readReference(layer, "ffn");
    tensors.push({ name, shape, values });
  }
  for (const { name, shape } of vocabulary ? planVocabularyTensors(config, DIMENSIONS) : []) {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length: count }, (_, i) =>
      name === "vocabulary.parts" ? -1 : name === "vocabulary.kept" ? (i < 250 ? 1 : 0) : 1 / (1 + i),
    );
    tensors.push({ name, shape, values });
  }
  const { fingerprint, model, kinds, corpora, documents } = made;
  const header: Record<string, unknown> = {
    __metadata__: scoresMetadata({ fingerprint, model, config, kinds, mapChange: "first-order", corpora, documents, vocabulary }),
  };
  let start = 0;
  for (const { name, shape, values } of tensors) {
    header[name] = { dtype: "F32", shape, data_offsets: [start, start + values.byteLength] };
    start += values.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([
    length,
    json,
    ...tensors.map(({ values }) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  ]);
}
