/**
 * @file Tokenisation with the three real models against llama.cpp, on the presets and the shared data if present.
 */

import { describe, expect, test } from "vitest";
import { shortDigest, trickyStrings } from "../reference/texts.mjs";
import { differingStrings, digestFiles, makeTokenizer, readGolden, realMetadata } from "../support/gguf-tokenizers.ts";
import { REAL_MODELS } from "../support/real-models.ts";

/**
 * The shared data has 14 million tokens over the three models, which takes two minutes: CUSPRUN_ALL_DATA=1 compares all
 * of it, otherwise every eighth file is compared.
 */
const EVERY = process.env["CUSPRUN_ALL_DATA"] === "1" ? 1 : 8;
const ALL_DATA_MS = 300_000;

describe.for(REAL_MODELS)("%s", (name) => {
  test("has llama.cpp's ids for the tricky strings, the presets and the shared data", { timeout: ALL_DATA_MS }, async () => {
    const golden = readGolden(name);
    const tokenizer = makeTokenizer(await realMetadata(name));
    expect(Array.from(tokenizer.prefix)).toEqual(golden.prefix);
    expect(differingStrings(tokenizer, golden)).toEqual([]);
    const { files, found, expected } = digestFiles(tokenizer, golden, EVERY);
    expect(files).toBeGreaterThanOrEqual(19);
    expect(found).toEqual(expected);
  });
});

test("a prefix space is added where llama.cpp adds it", async () => {
  const { variants } = readGolden<{ variants: { model: string; key: string; value: boolean; digests: string[] }[] }>("variants");
  const { key, value, digests } = variants.find(({ model }) => model === "gemma3")!;
  const tokenizer = makeTokenizer(await realMetadata("gemma3"), { [key]: value });
  const differing = trickyStrings().filter(
    (text, index) => shortDigest(tokenizer.encode(text).subarray(tokenizer.prefix.length)) !== digests[index],
  );
  expect(differing).toEqual([]);
});
