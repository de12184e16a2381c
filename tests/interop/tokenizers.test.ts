/**
 * @file Tokenizer files derived from the GGUF headers of the real models, in the Rust tokenizers and in transformers'
 * AutoTokenizer: the same ids as llama.cpp.
 */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tokenizerFilesFromGguf } from "../../src/checkpoint/gguf/tokenizer.ts";
import { realMetadata } from "../support/gguf-tokenizers.ts";
import { REAL_MODELS } from "../support/real-models.ts";
import { runPython } from "./python.ts";

interface Report {
  readonly strings: number;
  readonly files: number;
  readonly differences: readonly unknown[];
}

test.for(REAL_MODELS)("%s", async (name) => {
  const folder = await mkdtemp(join(tmpdir(), "cusprun-tokenizer-"));
  try {
    for (const [file, bytes] of tokenizerFilesFromGguf(await realMetadata(name), name).files)
      await writeFile(join(folder, file), bytes);
    const golden = join(import.meta.dirname, `../fixtures/tokenizers/${name}.json`);
    const report = await runPython<Report>("../reference/check_tokenizers.py", [folder, golden]);
    expect(report.differences).toEqual([]);
    expect(report.strings).toBeGreaterThan(1000);
    expect(report.files).toBeGreaterThanOrEqual(2 * 19);
  } finally {
    await rm(folder, { recursive: true });
  }
});
