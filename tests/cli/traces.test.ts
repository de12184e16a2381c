/**
 * @file What a run leaves in the user's folders: what the guide says, and nothing of the libraries. ONNX Runtime would
 * leave a device id, a database of events and a log.
 */

import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { runCommand } from "./run-command.ts";

test("a prune leaves its scores in the cache, and nothing in the home folder or among temporary files", () =>
  withFolder(async (folder) => {
    const model = join(folder, "model");
    await writeTinyCheckpoint(model, tinyModel("llama"));
    const corpus = await writeTinyCorpus(join(folder, "corpus.jsonl"), { documents: 12, words: 40 });
    const places = { HOME: join(folder, "home"), XDG_CACHE_HOME: join(folder, "cache"), TMPDIR: join(folder, "tmp") };
    for (const place of Object.values(places)) await mkdir(place);
    // An empty value counts as unset, for cusprun and for ONNX Runtime.
    const env = { ...places, CUSPRUN_CACHE: "", HF_HOME: "", XDG_CONFIG_HOME: "", XDG_DATA_HOME: "" };
    const out = join(folder, "expert");
    const { exitCode, stderr } = await runCommand(["prune", model, "--domain", corpus, "--reduce", "10%", "--out", out], { env });
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(await readdir(places.HOME)).toEqual([]);
    expect(await readdir(places.TMPDIR)).toEqual([]);
    expect(await readdir(places.XDG_CACHE_HOME)).toEqual(["cusprun"]);
    expect(await readdir(join(places.XDG_CACHE_HOME, "cusprun"))).toEqual(["work"]);
  }));
