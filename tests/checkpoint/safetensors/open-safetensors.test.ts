/**
 * @file Folders: opened for every family, single or sharded, and every way in which one is refused.
 */

import { copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { familyNamed } from "../../../src/families/index.ts";
import { describeModel } from "../../../src/checkpoint/inspect.ts";
import { locateCheckpoint, openCheckpoint } from "../../../src/checkpoint/open.ts";
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

/** A llama in three or more shards. */
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

  test("every required tensor is missed", async () => {
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

  test("in shards reads as in one file", async () => {
    await withFolder(async (folder) => {
      const names = await writeSharded(folder, model);
      expect(names.length).toBeGreaterThan(3);
      const checkpoint = await openCheckpoint(folder);
      for (const [name, { values }] of model.tensors) expect(await checkpoint.readFloat32(name)).toEqual(values);
      await checkpoint.close();
    });
  });

  test("as the hub's cache has it: links to blobs", async () => {
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(join(folder, "blobs"), model);
      await mkdir(join(folder, "snapshot"));
      for (const name of ["config.json", "model.safetensors"]) await symlink(`../blobs/${name}`, join(folder, "snapshot", name));
      const checkpoint = await openCheckpoint(join(folder, "snapshot"));
      expect([await checkpoint.readTokenizerFiles(), checkpoint.generationConfigJson]).toEqual([null, null]);
      await checkpoint.close();
    });
  });

  test("a chat template in a file of its own wins", async () => {
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

  test("a tied model may store its head only as the embedding's copy", async () => {
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
      expect([error.code, error.message]).toEqual(["CONFIG_INVALID", expect.stringContaining("lm_head.weight that differs")]);
    });
  });
});

describe("refused", () => {
  const model = tinyModel("llama");
  const shard = "model-00002-of-00004.safetensors";
  const index = "model.safetensors.index.json";
  const mapOf = (json: Record<string, unknown>): Record<string, unknown> => json["weight_map"] as Record<string, unknown>;

  const cases: readonly [string, ErrorCode, RegExp, (folder: string) => Promise<unknown>][] = [
    ["no config", "MODEL_FILE_MISSING", /config\.json: found no such file/, (folder) => rm(join(folder, "config.json"))],
    ["a broken config", "JSON_INVALID", /config\.json: found no JSON/, (folder) => writeFile(join(folder, "config.json"), "{")],
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
      /tensor 'model\.embed_tokens\.weight': found shape .*as the config says/,
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
      /found 'model\.layers\.1\..*only the tensors of a llama model with 1 layers/,
      (folder) => editJson(join(folder, "config.json"), (json) => (json["num_hidden_layers"] = 1)),
    ],
    [
      "biases that are not there",
      "TENSOR_MISSING",
      /q_proj\.bias/,
      (folder) => editJson(join(folder, "config.json"), (json) => (json["attention_bias"] = true)),
    ],
    ["an index without a map", "SHARD_INDEX", /weight_map|found nothing/, (folder) => writeFile(join(folder, index), "{}")],
    ["an empty map", "SHARD_INDEX", /found no tensor/, (folder) => writeFile(join(folder, index), '{"weight_map":{}}')],
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
      /'model\.norm\.weight': found it in .*expected it in model-00001/,
      (folder) =>
        editJson(join(folder, index), (json) => (mapOf(json)["model.norm.weight"] = "model-00001-of-00004.safetensors")),
    ],
    [
      "a tensor that no shard holds",
      "SHARD_MISMATCH",
      /'extra': found no shard that holds it/,
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
    ["a shard that is no safetensors", "SAFETENSORS_TOO_SHORT", /model-00002/, (folder) => writeFile(join(folder, shard), "no")],
    [
      "pickled weights",
      "MODEL_FILE_MISSING",
      /a PyTorch pickle only.*save_pretrained/,
      async (folder) => {
        await rm(join(folder, index));
        await writeFile(join(folder, "pytorch_model.bin"), "");
      },
    ],
    ["no weights", "MODEL_FILE_MISSING", /found no weights/, (folder) => rm(join(folder, index))],
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

describe("finding the model", () => {
  test("nothing, a wrong file, weights alone, several GGUF files", async () => {
    await withFolder(async (folder) => {
      const codeOf = async (name: string): Promise<[ErrorCode, string]> => {
        const error = await errorOf(openCheckpoint(join(folder, name)));
        return [error.code, error.message];
      };
      await writeFile(join(folder, "notes.txt"), "GGU");
      await writeFile(join(folder, "model.safetensors"), "12345678");
      await mkdir(join(folder, "ggufs"));
      for (const name of ["b.gguf", "a.gguf"]) await writeFile(join(folder, "ggufs", name), "GGUF");
      expect(await codeOf("no")).toEqual(["MODEL_NOT_FOUND", expect.stringContaining("found nothing")]);
      expect(await codeOf("notes.txt")).toEqual(["MODEL_NOT_FOUND", expect.stringContaining("does not begin as GGUF does")]);
      expect(await codeOf("model.safetensors")).toEqual([
        "MODEL_NOT_FOUND",
        expect.stringMatching(/the weights alone.*Pass the model's folder/),
      ]);
      expect(await codeOf("ggufs")).toEqual([
        "MODEL_NOT_FOUND",
        expect.stringMatching(/2 GGUF files: a\.gguf, b\.gguf.*Pass the path of one/),
      ]);
    });
  });

  test("a GGUF file under any name, or alone in a folder", async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, "sha256-0123"), "GGUF....");
      expect(await locateCheckpoint(join(folder, "sha256-0123"))).toEqual({ format: "gguf", file: join(folder, "sha256-0123") });
      await rename(join(folder, "sha256-0123"), join(folder, "m.gguf"));
      await writeFile(join(folder, "config.json"), "{}");
      expect(await locateCheckpoint(folder)).toEqual({ format: "gguf", file: join(folder, "m.gguf") });
    });
  });
});

describe("describing", () => {
  const configs = new URL("../../fixtures/configs/", import.meta.url);

  test("a config alone, as a file and in a folder", async () => {
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

  test("a folder with weights", async () => {
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
