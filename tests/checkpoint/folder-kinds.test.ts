/**
 * @file Folders that are not a model's folder: the message says what each is and what to do.
 */

import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { errorOf } from "../support/temporary-gguf.ts";
import { tinyModel } from "../support/tiny-models.ts";

const CONFIG = JSON.stringify(tinyModel("llama").configJson);
const COMMIT = "c".repeat(40);
const OTHER = "d".repeat(40);

type Files = Readonly<Record<string, string>>;

const cases: readonly [string, Files, RegExp][] = [
  [
    "an adapter",
    { "adapter_model.safetensors": "", "adapter_config.json": '{"base_model_name_or_path":"acme/base"}' },
    /an adapter \(LoRA\) of "acme\/base".*merge_and_unload/,
  ],
  ["an adapter with a config", { "adapter_model.safetensors": "", "config.json": CONFIG }, /an adapter \(LoRA\), which/],
  ["an adapter whose config is damaged", { "adapter_model.bin": "", "adapter_config.json": "{" }, /an adapter \(LoRA\), which/],
  [
    "the hub's cache with one snapshot",
    { "blobs/x": "", [`snapshots/${COMMIT}/config.json`]: CONFIG },
    new RegExp(`the hub's cache of a model.*Pass .*/snapshots/${COMMIT}\\.$`),
  ],
  [
    "the hub's cache with a current snapshot",
    { "refs/main": `${OTHER}\n`, [`snapshots/${COMMIT}/config.json`]: CONFIG, [`snapshots/${OTHER}/config.json`]: CONFIG },
    new RegExp(`Pass .*/snapshots/${OTHER}\\.$`),
  ],
  [
    "the hub's cache with several snapshots",
    { "blobs/x": "", [`snapshots/${COMMIT}/config.json`]: CONFIG, [`snapshots/${OTHER}/config.json`]: CONFIG },
    new RegExp(`Pass one of its snapshots, such as .*/snapshots/${COMMIT}\\.$`),
  ],
  ["original weights", { "consolidated.safetensors": "", "params.json": "{}" }, /original weights of Meta or Mistral.*-hf/],
  ["original weights with a config", { "consolidated.00.pth": "", "config.json": CONFIG }, /original weights of Meta or Mistral/],
  [
    "one file under a shard's name",
    { "model-00001-of-00001.safetensors": "", "config.json": CONFIG },
    /model-00001-of-00001\.safetensors, a name that transformers does not read.*Rename it to model\.safetensors/,
  ],
  [
    "shards without an index",
    { "model-00001-of-00003.safetensors": "", "model-00002-of-00003.safetensors": "", "config.json": CONFIG },
    /2 of 3 shards, without model\.safetensors\.index\.json.*Download model\.safetensors\.index\.json/,
  ],
  [
    "several files",
    { "a.safetensors": "", "b.safetensors": "", "config.json": CONFIG },
    /2 other safetensors files.*Rename the one with all weights/,
  ],
  ["pickles", { "pytorch_model.bin": "", "config.json": CONFIG }, /only PyTorch pickle weights.*save_pretrained/],
  ["another format", { "tf_model.h5": "", "config.json": CONFIG }, /another format, such as tf_model\.h5.*safetensors/],
  ["a diffusers pipeline", { "model_index.json": "{}" }, /a pipeline of diffusers/],
  [
    "a trainer's output",
    { "checkpoint-500/config.json": CONFIG, "checkpoint-1000/config.json": CONFIG, "trainer_state.json": "{}" },
    /a folder with 2 models below it.*Pass the model's own folder, such as .*\/checkpoint-1000\.$/,
  ],
  ["nothing", {}, /an empty folder/],
  [
    "a config by itself",
    { "config.json": CONFIG },
    /found no weights, expected model\.safetensors, or model\.safetensors\.index/,
  ],
  ["something else", { "notes.txt": "" }, /found no config\.json/],
];

test.each(cases)("%s", async (_, files, message) => {
  await withFolder(async (folder) => {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    const error = await errorOf(openCheckpoint(folder));
    expect([error.code, error.message]).toEqual(["MODEL_FILE_MISSING", expect.stringMatching(message)]);
  });
});

test("a link to nothing where the model should be", async () => {
  await withFolder(async (folder) => {
    await symlink("/nonexistent/model", join(folder, "model"));
    const error = await errorOf(openCheckpoint(join(folder, "model")));
    expect([error.code, error.message]).toEqual([
      "MODEL_NOT_FOUND",
      expect.stringMatching(/found a link to \/nonexistent\/model, which does not exist/),
    ]);
  });
});
