/**
 * @file Tokenisation of the three real models against llama.cpp, over the presets and the shared data where it is there.
 */

import { describe, expect, test } from "vitest";
import { shortDigest, trickyStrings } from "../reference/texts.mjs";
import { differingStrings, digestFiles, makeTokenizer, readGolden, realMetadata } from "../support/gguf-tokenizers.ts";
import { REAL_MODELS } from "../support/real-models.ts";

/**
 * All of the shared data is 14 million tokens over the three models, two minutes of work: CUSPRUN_ALL_DATA=1 compares it whole, otherwise
 * every eighth file stands for it.
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

test("a prefix space goes where llama.cpp puts it", async () => {
  const { variants } = readGolden<{ variants: { model: string; key: string; value: boolean; digests: string[] }[] }>("variants");
  const { key, value, digests } = variants.find(({ model }) => model === "gemma3")!;
  const tokenizer = makeTokenizer(await realMetadata("gemma3"), { [key]: value });
  const differing = trickyStrings().filter(
    (text, index) => shortDigest(tokenizer.encode(text).subarray(tokenizer.prefix.length)) !== digests[index],
  );
  expect(differing).toEqual([]);
});
