/**
 * @file Trimmed tokenizers of the three real models in stock runtimes: our library (that of transformers.js), the Rust
 * tokenizers, transformers' AutoTokenizer and llama.cpp agree on every text, and texts of kept tokens are tokenised as
 * before. By default on the presets, the tricky strings and every 16th file of the shared data; on all of it with
 * CUSPRUN_ALL_DATA=1.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tokenizerFilesFromGguf } from "../../src/checkpoint/gguf/tokenizer.ts";
import { exportGguf } from "../../src/export/gguf/export-gguf.ts";
import { digestTokens, listTextFiles, readTexts, trickyStrings } from "../reference/texts.mjs";
import { realMetadata } from "../support/gguf-tokenizers.ts";
import { REAL_MODELS } from "../support/real-models.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";
import { defectOf, trimVocabulary } from "../support/trimmed-vocabularies.ts";
import { runLlamaCpp } from "./llama-cpp.ts";
import { runPython } from "./python.ts";

interface Report {
  readonly strings: number;
  readonly files: number;
  readonly differences: readonly unknown[];
}

const DATA = join(import.meta.dirname, "../../../shared/data");
const EVERY = process.env["CUSPRUN_ALL_DATA"] === "1" ? 1 : 16;
const VOCAB_SIZES = { smollm2: 49_152, qwen2: 151_936, gemma3: 262_144 } as const;

describe.for(REAL_MODELS)("%s, six of ten tokens gone", (name) => {
  test("all runtimes agree", { timeout: EVERY === 1 ? 14_400_000 : 1_800_000 }, () =>
    withFolder(async (folder) => {
      // Keeps the most common tokens by merge rank: as good as any choice, and includes tokens of every script.
      const dense = tokenizerFilesFromGguf(await realMetadata(name), name);
      const made = trimVocabulary(dense, VOCAB_SIZES[name], 0.6, (id) => 1 / (id + 1));
      const { trimmed, files, ids } = made;
      const prefix = Array.from(trimmed.prefix);
      const encode = (text: string): Int32Array => trimmed.encode(text).subarray(prefix.length);

      const texts = listTextFiles(DATA).filter(({ name: file }, index) => file.startsWith("presets/") || index % EVERY === 0);
      const defects = texts.flatMap(({ path }) => readTexts(path).flatMap((text) => defectOf(made, text) ?? []));
      expect(defects.slice(0, 5)).toEqual([]);

      const golden = {
        prefix,
        suffix: [],
        strings: trickyStrings().map((text) => ({ text, ids: Array.from(encode(text)) })),
        files: Object.fromEntries(texts.map(({ name: file, path }) => [file, digestTokens(readTexts(path), encode)])),
      };
      const goldenPath = join(folder, "golden.json");
      await writeFile(goldenPath, JSON.stringify(golden));
      for (const [file, bytes] of files.files) await writeFile(join(folder, file), bytes);
      const python = await runPython<Report>("../reference/check_tokenizers.py", [folder, goldenPath, DATA]);
      expect(python.differences).toEqual([]);
      expect(python.strings).toBe(2 * golden.strings.length);

      const model = tinyModel("llama", {
        hiddenSize: 32,
        numHiddenLayers: 1,
        numAttentionHeads: 4,
        headDim: 8,
        numKeyValueHeads: 2,
        vocabSize: ids.size,
      });
      const gguf = join(folder, "trimmed.gguf");
      await exportGguf({ ...tinyCheckpoint(model), readTokenizerFiles: async () => files }, gguf);
      const llama = await runLlamaCpp<Report>(gguf, { golden: goldenPath, data: DATA }, "llama-check-tokens.mjs");
      expect(llama.differences).toEqual([]);
      expect(llama.files).toBe(texts.length);
    }),
  );
});
