/** @file The program of the examples, run as a user runs it: on the compiled package, with a tiny model. */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

const PROGRAM = fileURLToPath(new URL("../../examples/prune-a-model.mjs", import.meta.url));

test("makes an expert that opens again", () =>
  withFolder(async (folder) => {
    const [model, out] = [join(folder, "model"), join(folder, "expert")];
    await writeTinyCheckpoint(model, tinyModel("llama", { intermediateSize: 128 }));
    const corpus = await writeTinyCorpus(join(folder, "corpus.jsonl"));
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [PROGRAM, model, corpus, out], {
      env: { ...process.env, CUSPRUN_CACHE: join(folder, "cache") },
    });
    expect(stdout).toMatch(/ffn +128 +32 +96 +25\.0%/);
    expect(stdout).toMatch(/domain: bits per byte of held-out text × \d+\.\d\d/);
    expect(stdout).toContain(`${out}: `);
    expect(stdout).toContain("96 FFN units in the first layer");
    expect(stderr).toContain("scoring");

    const expert = await openCheckpoint(out);
    expect(expert.config.layerSizes[0]).toMatchObject({ intermediateSize: 96 });
    await expert.close();
  }));
