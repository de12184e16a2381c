/**
 * @file Safetensors files, folders of several, and the configs next to them.
 */

import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { describeModel } from "../../../src/checkpoint/inspect.ts";
import { openCheckpoint } from "../../../src/checkpoint/open.ts";
import { isFloatDType, SafetensorsFile } from "../../../src/checkpoint/safetensors/read.ts";
import { huggingFaceWriter } from "../../../src/export/hugging-face/write-hugging-face.ts";
import { writeExpertFolder } from "../../../src/export/expert-folder.ts";
import { cutExpert } from "../../../src/surgery/expert.ts";
import { expertTokenizerFiles } from "../../../src/surgery/expert-tokenizer.ts";
import { cardInput } from "../../support/cards.ts";
import { planOf } from "../../support/plans.ts";
import { entry, safetensorsBytes } from "../../support/safetensors-bytes.ts";
import { mustHold } from "../broken.ts";
import { mutateSafetensors } from "../mutate/safetensors.ts";
import { FIXTURES } from "../paths.ts";
import type { Random } from "../random.ts";
import type { Base, Target } from "../target.ts";
import { FAMILIES, json, mutateJsonFile, safetensorsOf, SMALL_SIZES, smallFiles, smallModel } from "./small-models.ts";

const FILE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const CONFIGS = ["config.json", "generation_config.json"];
/** Writing costs much more than reading: one accepted folder in this many. */
const WRITTEN_EVERY = 4;
/** A token that no other token is merged from. */
const REMOVED_TOKEN = 276;

/** One file by itself. */
export const safetensors: Target = {
  name: "safetensors",
  weight: 4,
  secondReader: { name: "safetensors", ending: ".safetensors" },
  bases: async () => {
    const files: Readonly<Record<string, Buffer>> = {
      golden: readFileSync(join(FIXTURES, "safetensors/golden.safetensors")),
      plain: Buffer.from(
        safetensorsBytes({ __metadata__: { format: "pt" }, a: entry("F32", [2, 2], 0, 16), b: entry("BF16", [3], 16, 22) }, 22),
      ),
      empty: Buffer.from(safetensorsBytes({ a: entry("F32", [0], 0, 0), b: entry("F16", [], 0, 2) }, 2)),
      none: Buffer.from(safetensorsBytes({}, 0)),
    };
    return Object.entries(files).map(([name, bytes]) => ({ name, files: new Map([[FILE, bytes]]), changed: [FILE] }));
  },
  mutate: (_, contents, random, others) => mutateSafetensors(contents, random, others),
  run: async (folder) => {
    const file = await SafetensorsFile.open(join(folder, FILE));
    try {
      for (const [name, { dtype }] of file.tensors) {
        await file.readBytes(name);
        if (isFloatDType(dtype)) await file.readFloat32(name);
      }
    } finally {
      await file.close();
    }
  },
};

/** A folder of two files with their index. */
export const shards: Target = {
  name: "shards",
  secondReader: { name: "safetensors", ending: ".safetensors" },
  bases: async () =>
    FAMILIES.map((family): Base => {
      const model = smallModel(family);
      const names = [...model.tensors.keys()];
      const fileOf = (index: number): string => `model-0000${1 + (index % 2)}-of-00002.safetensors`;
      const index = { metadata: { total_size: 1 }, weight_map: Object.fromEntries(names.map((name, i) => [name, fileOf(i)])) };
      const files = new Map([
        ...smallFiles(model),
        [INDEX, json(index)],
        ...[0, 1].map((half): [string, Buffer] => [fileOf(half), safetensorsOf(model, (_, i) => i % 2 === half)]),
      ]);
      return { name: family, files, changed: [INDEX, fileOf(0), INDEX, fileOf(1)] };
    }),
  mutate: (file, contents, random, others) =>
    file === INDEX ? mutateJsonFile(contents, random) : mutateSafetensors(contents, random, others),
  run: async (folder) => {
    await describeModel(folder);
    await withCheckpoint(folder, readAll);
  },
};

/** config.json and generation_config.json, with and without weights; what is accepted is cut and written. */
export const config: Target = {
  name: "config",
  weight: 2,
  bases: async () => {
    const alone = readdirSync(join(FIXTURES, "configs")).map((name): Base => {
      const contents = readFileSync(join(FIXTURES, "configs", name));
      return { name: name.replace(".json", ""), files: new Map([["config.json", contents]]), changed: ["config.json"] };
    });
    const whole = FAMILIES.map((family): Base => {
      const model = smallModel(family);
      return { name: family, files: new Map([...smallFiles(model), [FILE, safetensorsOf(model)]]), changed: CONFIGS };
    });
    return [...alone, ...whole, ...whole];
  },
  mutate: (_, contents, random) => mutateJsonFile(contents, random),
  run: async (folder, random) => {
    await describeModel(join(folder, "config.json"));
    await describeModel(folder);
    if (existsSync(join(folder, FILE))) await withCheckpoint(folder, (checkpoint) => cutAndWrite(checkpoint, folder, random));
  },
};

/** Opens a model, and closes it again. */
export async function withCheckpoint(path: string, use: (checkpoint: Checkpoint) => Promise<void>): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** Reads every tensor of a model. */
export async function readAll(checkpoint: Checkpoint): Promise<void> {
  for (const [name, { shape }] of checkpoint.tensors) {
    const values = await checkpoint.readFloat32(name);
    mustHold(
      values.length === shape.reduce((product, size) => product * size, 1),
      `'${name}' has as many values as its shape says`,
    );
    if (shape.length > 1) await checkpoint.readFloat32(name, { start: shape[0]! - 1, end: shape[0]! });
  }
}

/** Cuts a model, with and without a token, and writes it as a folder that can be opened again. */
async function cutAndWrite(checkpoint: Checkpoint, folder: string, random: Random): Promise<void> {
  const vocabulary = { size: SMALL_SIZES.vocabSize, removed: [REMOVED_TOKEN], splits: { language: 0.01 } };
  const plan = planOf("uniform", [{ ffn: [0, 3] }, { ffn: [1, 2] }], random.chance(0.5) ? { vocabulary } : {});
  const expert = cutExpert(checkpoint, plan);
  const files = await expertTokenizerFiles(checkpoint, plan);
  if (!random.chance(1 / WRITTEN_EVERY)) return;
  const out = join(folder, "out");
  try {
    const writer = huggingFaceWriter(expert, files, 8, {});
    await writeExpertFolder(out, expert.config, [writer], { plan, card: cardInput(checkpoint.config) });
    await withCheckpoint(out, readAll);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
