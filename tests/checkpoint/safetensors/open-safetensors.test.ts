/**
 * @file Hugging Face folders of every family, single or sharded, and invalid folders of every kind.
 */

import { copyFile, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { familyNamed } from "../../../src/families/index.ts";
import { openCheckpoint } from "../../../src/checkpoint/open.ts";
import { openSafetensors } from "../../../src/checkpoint/safetensors/open-safetensors.ts";
import { type TensorSource, writeSafetensors, writeShardedSafetensors } from "../../../src/checkpoint/safetensors/write.ts";
import type { ErrorCode } from "../../../src/errors.ts";
import { inPieces } from "../../support/in-pieces.ts";
import { errorOf } from "../../support/temporary-gguf.ts";
import { withFolder } from "../../support/temporary-folder.ts";
import { TINY_FAMILIES, tinyBytes, type TinyModel, tinyModel, writeTinyCheckpoint } from "../../support/tiny-models.ts";

function sourcesOf(model: TinyModel): TensorSource[] {
  return [...model.tensors].map(([name, { shape, values }]) => ({
    name,
    dtype: "F32",
    shape,
    pieces: () => inPieces(tinyBytes(values, "F32")),
  }));
}

async function editJson(path: string, edit: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  edit(json);
  await writeFile(path, JSON.stringify(json));
}

/** Writes a model in three or more shards. */
async function writeSharded(folder: string, model: TinyModel): Promise<readonly string[]> {
  await writeTinyCheckpoint(folder, model);
  await rm(join(folder, "model.safetensors"));
  const bytes = [...model.tensors.values()].reduce((sum, { values }) => sum + values.byteLength, 0);
  return writeShardedSafetensors(folder, sourcesOf(model), Math.ceil(bytes / 3));
}

describe.each(TINY_FAMILIES)("%s", (family) => {
  const model = tinyModel(family);

  test("opens: config, tensors, values, tokenizer", async () => {
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, model);
      const checkpoint = await openCheckpoint(folder);
      expect(checkpoint.config).toEqual(model.config);
      expect([...checkpoint.tensors.keys()].toSorted()).toEqual([...model.tensors.keys()].toSorted());
      for (const [name, { shape, values }] of model.tensors) {
        expect(checkpoint.tensors.get(name)).toMatchObject({ shape, dtype: "F32", byteLength: values.byteLength });
        expect(await checkpoint.readFloat32(name)).toEqual(values);
        expect(await checkpoint.readBytes(name)).toEqual(tinyBytes(values, "F32"));
      }
      const tokenizer = await checkpoint.readTokenizerFiles();
      expect([...tokenizer!.files.keys()]).toEqual(["tokenizer.json", "tokenizer_config.json"]);
      expect(tokenizer!.tokenizerConfig["chat_template"]).toBe("{{ messages[0].content }}");
      expect(checkpoint.generationConfigJson).toEqual({ bos_token_id: 1, eos_token_id: 2 });
      await checkpoint.close();
    });
  });

  test("the absence of any required tensor is reported", async () => {
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, model);
      for (const role of familyNamed(family).requiredRoles) {
        const gone = `model.layers.1.${familyNamed(family).tensorNames.block[role]}`;
        await writeSafetensors(
          join(folder, "model.safetensors"),
          sourcesOf(model).filter(({ name }) => name !== gone),
        );
        const error = await errorOf(openSafetensors(folder));
        expect([error.code, error.message]).toEqual(["TENSOR_MISSING", expect.stringContaining(`without '${gone}'`)]);
      }
    });
  });
});

describe("a folder", () => {
  const model = tinyModel("llama");

  test("with shards reads the same as with one file", async () => {
    await withFolder(async (folder) => {
      const names = await writeSharded(folder, model);
      expect(names.length).toBeGreaterThan(3);
      const checkpoint = await openCheckpoint(folder);
      for (const [name, { values }] of model.tensors) expect(await checkpoint.readFloat32(name)).toEqual(values);
      await checkpoint.close();
    });
  });

  test("of links to blobs, as in the hub's cache", async () => {
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(join(folder, "blobs"), model);
      await mkdir(join(folder, "snapshot"));
      for (const name of ["config.json", "model.safetensors"]) await symlink(`../blobs/${name}`, join(folder, "snapshot", name));
      const checkpoint = await openCheckpoint(join(folder, "snapshot"));
      expect([await checkpoint.readTokenizerFiles(), checkpoint.generationConfigJson]).toEqual([null, null]);
      await checkpoint.close();
    });
  });

  test("a chat template in a separate file takes precedence", async () => {
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, model);
      await writeFile(join(folder, "chat_template.jinja"), "{{ bos_token }}");
      const checkpoint = await openCheckpoint(folder);
      const tokenizer = await checkpoint.readTokenizerFiles();
      expect(tokenizer!.tokenizerConfig["chat_template"]).toBe("{{ bos_token }}");
      expect(tokenizer!.files.has("chat_template.jinja")).toBe(true);
      await checkpoint.close();
    });
  });

  test("computed buffers of old files are ignored, other tensors are not", async () => {
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, model);
      const buffer = {
        name: "model.layers.0.self_attn.rotary_emb.inv_freq",
        dtype: "F32",
        shape: [2],
        pieces: () => inPieces(new Uint8Array(8)),
      } as const;
      await writeSafetensors(join(folder, "model.safetensors"), [...sourcesOf(model), buffer]);
      const checkpoint = await openSafetensors(folder);
      expect(checkpoint.tensors.has(buffer.name)).toBe(false);
      await expect(checkpoint.readBytes(buffer.name)).rejects.toThrow(RangeError);
      await checkpoint.close();
      await writeSafetensors(join(folder, "model.safetensors"), [
        ...sourcesOf(model),
        { ...buffer, name: "model.layers.0.lora_A.weight" },
      ]);
      const error = await errorOf(openSafetensors(folder));
      expect([error.code, error.message]).toEqual(["TENSOR_UNKNOWN", expect.stringContaining("'model.layers.0.lora_A.weight'")]);
    });
  });

  test("a tied model may store its head only as a copy of the embedding", async () => {
    const tied = tinyModel("qwen2");
    const embedding = tied.tensors.get("model.embed_tokens.weight")!;
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, tied);
      await editJson(join(folder, "config.json"), (json) => (json["tie_word_embeddings"] = true));
      const others = sourcesOf(tied).filter(({ name }) => name !== "lm_head.weight");
      const head = { name: "lm_head.weight", dtype: "F32", shape: embedding.shape } as const;
      await writeSafetensors(join(folder, "model.safetensors"), [
        ...others,
        { ...head, pieces: () => inPieces(tinyBytes(embedding.values, "F32")) },
      ]);
      await (await openSafetensors(folder)).close();
      const different = embedding.values.with(5, 7);
      await writeSafetensors(join(folder, "model.safetensors"), [
        ...others,
        { ...head, pieces: () => inPieces(tinyBytes(different, "F32")) },
      ]);
      const error = await errorOf(openSafetensors(folder));
      expect([error.code, error.message]).toEqual([
        "CONFIG_INVALID",
        expect.stringContaining("true, but lm_head.weight differs"),
      ]);
    });
  });
});

describe("rejects", () => {
  const model = tinyModel("llama");
  const shard = "model-00002-of-00004.safetensors";
  const index = "model.safetensors.index.json";
  const mapOf = (json: Record<string, unknown>): Record<string, unknown> => json["weight_map"] as Record<string, unknown>;

  const cases: readonly [string, ErrorCode, RegExp, (folder: string) => Promise<unknown>][] = [
    [
      "no config",
      "MODEL_FILE_MISSING",
      /found no config\.json, expected a model's folder/,
      (folder) => rm(join(folder, "config.json")),
    ],
    [
      "an invalid config",
      "JSON_INVALID",
      /config\.json: found invalid JSON/,
      (folder) => writeFile(join(folder, "config.json"), "{"),
    ],
    [
      "a config that is a list",
      "JSON_INVALID",
      /found a JSON list, expected a JSON object/,
      (folder) => writeFile(join(folder, "config.json"), "[]"),
    ],
    [
      "a config that is not UTF-8",
      "JSON_INVALID",
      /UTF-8/,
      (folder) => writeFile(join(folder, "config.json"), new Uint8Array([0x22, 0xff, 0x22])),
    ],
    [
      "another size in the config",
      "TENSOR_SHAPE",
      /tensor 'model\.embed_tokens\.weight': found shape .*according to the config/,
      (folder) => editJson(join(folder, "config.json"), (json) => (json["vocab_size"] = 3)),
    ],
    [
      "more layers in the config",
      "TENSOR_MISSING",
      /without 'model\.layers\.\d+\.input_layernorm\.weight', .* and \d+ more/,
      (folder) => editJson(join(folder, "config.json"), (json) => (json["num_hidden_layers"] = 90)),
    ],
    [
      "fewer layers in the config",
      "TENSOR_UNKNOWN",
      /found 'model\.layers\.1\..*only tensors of a llama model with 1 layers/,
      (folder) => editJson(join(folder, "config.json"), (json) => (json["num_hidden_layers"] = 1)),
    ],
    [
      "missing biases",
      "TENSOR_MISSING",
      /q_proj\.bias/,
      (folder) => editJson(join(folder, "config.json"), (json) => (json["attention_bias"] = true)),
    ],
    ["an index without a map", "SHARD_INDEX", /weight_map|found nothing/, (folder) => writeFile(join(folder, index), "{}")],
    ["an empty map", "SHARD_INDEX", /found no tensors/, (folder) => writeFile(join(folder, index), '{"weight_map":{}}')],
    [
      "an index that leaves the folder",
      "SHARD_INDEX",
      /"\.\.\/x\.safetensors", expected the name of a \.safetensors file in the same folder/,
      (folder) => editJson(join(folder, index), (json) => (mapOf(json)["model.norm.weight"] = "../x.safetensors")),
    ],
    [
      "an index that names another kind of file",
      "SHARD_INDEX",
      /"config\.json"/,
      (folder) => editJson(join(folder, index), (json) => (mapOf(json)["model.norm.weight"] = "config.json")),
    ],
    [
      "an index with a number for a file",
      "SHARD_INDEX",
      /'model\.norm\.weight': found 3/,
      (folder) => editJson(join(folder, index), (json) => (mapOf(json)["model.norm.weight"] = 3)),
    ],
    [
      "a missing shard",
      "SHARD_MISSING",
      /model-00002-of-00004\.safetensors: found no such file/,
      (folder) => rm(join(folder, shard)),
    ],
    [
      "a tensor in another shard than listed",
      "SHARD_MISMATCH",
      /'model\.norm\.weight': found the tensor in .*expected the tensor in model-00001/,
      (folder) =>
        editJson(join(folder, index), (json) => (mapOf(json)["model.norm.weight"] = "model-00001-of-00004.safetensors")),
    ],
    [
      "a tensor in no shard",
      "SHARD_MISMATCH",
      /'extra': found the tensor in no shard/,
      (folder) => editJson(join(folder, index), (json) => (mapOf(json)["extra"] = shard)),
    ],
    [
      "a tensor that is not listed",
      "SHARD_MISMATCH",
      /tensor 'model\.norm\.weight': found no entry in the index/,
      (folder) => editJson(join(folder, index), (json) => delete mapOf(json)["model.norm.weight"]),
    ],
    [
      "a name in two shards",
      "TENSOR_DUPLICATE",
      /found the same name in .*model-00001/,
      (folder) => copyFile(join(folder, "model-00001-of-00004.safetensors"), join(folder, shard)),
    ],
    ["a shard that is not safetensors", "SAFETENSORS_TOO_SHORT", /model-00002/, (folder) => writeFile(join(folder, shard), "no")],
    [
      "integers for weights",
      "TENSOR_DTYPE",
      /found I32, expected F32, F16 or BF16/,
      (folder) =>
        writeSafetensors(
          join(folder, "model.safetensors"),
          sourcesOf(model).map((tensor) => ({ ...tensor, dtype: "I32" as const })),
        ),
    ],
  ];

  test.each(cases)("%s: %s", async (_, code, message, damage) => {
    await withFolder(async (folder) => {
      expect(await writeSharded(folder, model)).toHaveLength(5);
      await damage(folder);
      const error = await errorOf(openSafetensors(folder));
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    });
  });
});
