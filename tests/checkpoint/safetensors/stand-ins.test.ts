/**
 * @file Files of a folder that are not what their names say, or nest deeper than any real one: each is named when the
 * folder is opened.
 */

import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSafetensors } from "../../../src/checkpoint/safetensors/open-safetensors.ts";
import { writeShardedSafetensors } from "../../../src/checkpoint/safetensors/write.ts";
import type { ErrorCode } from "../../../src/errors.ts";
import { inPieces } from "../../support/in-pieces.ts";
import { withFolder } from "../../support/temporary-folder.ts";
import { errorOf } from "../../support/temporary-gguf.ts";
import { tinyBytes, tinyModel, writeTinyCheckpoint } from "../../support/tiny-models.ts";

const LFS_POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 98362432\n`;

async function editJson(path: string, edit: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  edit(json);
  await writeFile(path, JSON.stringify(json));
}

describe("refuses, when it opens a folder,", () => {
  const model = tinyModel("llama");
  const index = "model.safetensors.index.json";
  const cases: readonly [string, ErrorCode, RegExp, (folder: string) => Promise<unknown>][] = [
    [
      "JSON of 20,000 levels under an unknown key",
      "JSON_INVALID",
      /config\.json: found invalid JSON \(objects and arrays nest more than 200 deep\)/,
      async (folder) => {
        const json = await readFile(join(folder, "config.json"), "utf8");
        await writeFile(join(folder, "config.json"), json.replace("{", `{"unknown":${"[".repeat(20_000)}${"]".repeat(20_000)},`));
      },
    ],
    [
      "JSON of 20,000 levels in the index",
      "JSON_INVALID",
      /index\.json: found invalid JSON \(objects and arrays nest more than 200 deep\)/,
      (folder) => writeFile(join(folder, index), `{"weight_map":${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}}`),
    ],
    [
      "a Git LFS pointer as tokenizer.json",
      "TOKENIZER_INVALID",
      /tokenizer\.json: found a Git LFS pointer.*git lfs pull/,
      (folder) => writeFile(join(folder, "tokenizer.json"), LFS_POINTER),
    ],
    [
      "a Git LFS pointer as config.json",
      "JSON_INVALID",
      /config\.json: found a Git LFS pointer.*git lfs pull/,
      (folder) => writeFile(join(folder, "config.json"), LFS_POINTER),
    ],
    [
      "a Git LFS pointer as index",
      "JSON_INVALID",
      /index\.json: found a Git LFS pointer.*git lfs pull/,
      (folder) => writeFile(join(folder, index), LFS_POINTER),
    ],
    [
      "a web page as a shard",
      "SAFETENSORS_HEADER_LENGTH",
      /model-00001-of-00004\.safetensors: found an HTML page.*\/resolve\//,
      (folder) => writeFile(join(folder, "model-00001-of-00004.safetensors"), "<!DOCTYPE html><html></html>"),
    ],
    [
      "quantised weights",
      "CONFIG_UNSUPPORTED",
      /quantization_config: found "quantised with awq"/,
      (folder) => editJson(join(folder, "config.json"), (json) => void (json["quantization_config"] = { quant_method: "awq" })),
    ],
    [
      "weights quantised by MLX",
      "CONFIG_UNSUPPORTED",
      /quantization: found \{"group_size":64,"bits":4\}/,
      (folder) => editJson(join(folder, "config.json"), (json) => void (json["quantization"] = { group_size: 64, bits: 4 })),
    ],
  ];

  test.each(cases)("%s: %s", async (_, code, message, damage) => {
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, model);
      await rm(join(folder, "model.safetensors"));
      const sources = [...model.tensors].map(([name, { shape, values }]) => ({
        name,
        dtype: "F32" as const,
        shape,
        pieces: () => inPieces(tinyBytes(values, "F32")),
      }));
      const bytes = [...model.tensors.values()].reduce((sum, { values }) => sum + values.byteLength, 0);
      await writeShardedSafetensors(folder, sources, Math.ceil(bytes / 3));
      await damage(folder);
      const error = await errorOf(openSafetensors(folder));
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    });
  });
});
