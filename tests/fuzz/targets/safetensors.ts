/**
 * @file Safetensors files: the header is checked, and every tensor read in each way.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SafetensorsFile, isFloatDType } from "../../../src/checkpoint/safetensors/read.ts";
import { mutateSafetensors } from "../mutate/safetensors.ts";
import { FIXTURES } from "../paths.ts";
import type { Target } from "../target.ts";
import { entry, safetensorsBytes } from "../../support/safetensors-bytes.ts";

const FILE = "model.safetensors";

/** One file by itself. */
export const safetensors: Target = {
  name: "safetensors",
  weight: 2,
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
