/** @file Descriptions of models, with and without weights. */

import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/checkpoint/inspect.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

describe("the description of a model", () => {
  const configs = new URL("../fixtures/configs/", import.meta.url);

  test("from a config alone, as a file and in a folder", async () => {
    await withFolder(async (folder) => {
      await copyFile(new URL("llama-3-8b.json", configs), join(folder, "config.json"));
      const inFolder = await describeModel(folder);
      const asFile = await describeModel(join(folder, "config.json"));
      expect({ ...asFile, path: folder }).toEqual(inFolder);
      expect(inFolder).toMatchObject({
        format: "config",
        configDType: "BF16",
        storedDTypes: [],
        bytesOnDisk: null,
        parameters: { total: 8_030_261_248, vocabulary: { parameters: 1_050_673_152 } },
      });
      const first = Object.entries(inFolder.unitsPerLayer).map(([kind, counts]) => [kind, counts.length, counts[0]]);
      expect(first).toEqual([
        ["ffn", 32, 14_336],
        ["head", 32, 32],
        ["kv-group", 32, 8],
        ["value-dim", 32, 1024],
        ["rotary-pair", 32, 512],
      ]);
      const { vocabulary, attention, ffn, norms } = inFolder.parameters;
      expect(vocabulary.share + attention.share + ffn.share + norms.share).toBeCloseTo(1, 12);
    });
  });

  test("from a folder with weights", async () => {
    const model = tinyModel("qwen2");
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, model, "BF16");
      const described = await describeModel(folder);
      const parameters = [...model.tensors.values()].reduce((sum, { values }) => sum + values.length, 0);
      expect(described.parameters.total).toBe(parameters);
      expect(described.storedDTypes).toEqual([{ dtype: "BF16", tensors: model.tensors.size, parameters, bytes: 2 * parameters }]);
      expect(described).toMatchObject({ format: "safetensors", configDType: "BF16" });
      expect(described.bytesOnDisk).toBeGreaterThan(2 * parameters);
    });
  });
});
