/**
 * @file The YAML file of the command line.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readConfig } from "../../../src/cli/read-config.ts";
import { runCommand } from "../../../src/cli/jobs.ts";
import { CusprunError } from "../../../src/errors.ts";
import { mutateText } from "../mutate/text.ts";
import { ROOT } from "../paths.ts";
import type { Base, Target } from "../target.ts";
import { mutateJsonFile } from "./small-models.ts";

const FILE = "expert.yaml";

const ALL = `model: no-such-folder/model
language: [en, de]
task: question-answering
documents: 48
reduce: 20%
layout: ragged
granularity: structural
units: [ffn, head]
allocation: global
floor: 0.3
snap: 32
aggregate: quantile:0.9
weights: &w
  language: 1
  domain: 0.5
vocabulary: 2000
dtype: bf16
max-shard-size: 2GB
memory: 8GiB
measure: false
formats: [hf, gguf]
type: Q4_K_M
overwrite: true
out: "a folder/expert"
`;

/** How a run without a model ends. */
const NO_MODEL: ReadonlySet<string> = new Set(["MODEL_NOT_FOUND", "MODEL_NAME"]);

/** Read as `--config` reads it; what is accepted starts a run, which ends at a model that does not exist. */
export const settings: Target = {
  name: "settings",
  weight: 0.2,
  bases: async () => {
    const files = {
      example: readFileSync(join(ROOT, "examples/expert.yaml")),
      all: Buffer.from(ALL),
      json: Buffer.from(
        JSON.stringify({ language: "en", reduce: "20%", weights: { language: 2 }, formats: ["hf"], out: "x" }, null, 1),
      ),
    };
    return Object.entries(files).map(([name, bytes]): Base => ({ name, files: new Map([[FILE, bytes]]), changed: [FILE] }));
  },
  mutate: (_, contents, random, others) =>
    contents[0] === 0x7b && random.chance(0.7) ? mutateJsonFile(contents, random) : mutateText(contents, random, others),
  run: async (folder) => {
    const { settings: read } = await readConfig(join(folder, FILE));
    const job = {
      command: "prune",
      subject: join(folder, "no-such-model"),
      settings: { ...read, out: join(folder, "out") },
    } as const;
    await runCommand(job, {}, () => undefined).catch((error: unknown) => {
      if (!(error instanceof CusprunError) || !NO_MODEL.has(error.code)) throw error;
    });
  },
};
