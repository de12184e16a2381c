/**
 * @file Tokenizers of the real models, and the comparison with their goldens (tests/fixtures/tokenizers, made by
 * tests/reference/llama-tokenize.mjs with llama.cpp).
 */

import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { TokenizerFiles } from "../../src/checkpoint/checkpoint.ts";
import { type GgufMetadata, readGgufHeader } from "../../src/checkpoint/gguf/header.ts";
import { tokenizerFilesFromGguf } from "../../src/checkpoint/gguf/tokenizer.ts";
import { createTokenizer, type Tokenizer } from "../../src/corpora/tokenizer.ts";
import { digestTokens, listTextFiles, readTexts } from "../reference/texts.mjs";
import { type RealModelName, realModel } from "./real-models.ts";

const ROOT = join(import.meta.dirname, "../..");

/** What llama.cpp produces for one real model. `ids` are without prefix and suffix. */
export interface TokenizerGolden {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly files: Readonly<Record<string, { readonly documents: number; readonly tokens: number; readonly sha256: string }>>;
  readonly strings: readonly { readonly text: string; readonly ids: readonly number[] }[];
}

/** A golden of tests/fixtures/tokenizers. */
export function readGolden<T = TokenizerGolden>(name: string): T {
  return JSON.parse(readFileSync(join(ROOT, "tests/fixtures/tokenizers", `${name}.json`), "utf8")) as T;
}

/** The header of a real model. */
export async function realMetadata(name: RealModelName): Promise<GgufMetadata> {
  const path = await realModel(name);
  const file = await open(path);
  try {
    return (await readGgufHeader(file, path)).metadata;
  } finally {
    await file.close();
  }
}

/** A real model's tokenizer, with keys of its header replaced. */
export function makeTokenizer(metadata: GgufMetadata, overrides: Readonly<Record<string, string | boolean>> = {}): Tokenizer {
  const files: TokenizerFiles = tokenizerFilesFromGguf(new Map([...metadata, ...Object.entries(overrides)]), "model.gguf");
  return createTokenizer(files, "model.gguf");
}

/** The strings whose ids are not llama.cpp's, with both ids. */
export function differingStrings(tokenizer: Tokenizer, golden: TokenizerGolden): unknown[] {
  return golden.strings.flatMap(({ text, ids }) => {
    const expected = [...golden.prefix, ...ids, ...golden.suffix];
    const found = Array.from(tokenizer.encode(text));
    return JSON.stringify(found) === JSON.stringify(expected) ? [] : [{ text, found, expected }];
  });
}

/** The shared data next to the repository, which may be absent. */
const SHARED_DATA = join(ROOT, "../shared/data");

/**
 * Digests of the ids of every preset and of every `sharedEvery`th file of the shared data, if it is present (by default
 * none); and llama.cpp's digests of the same files.
 */
export function digestFiles(
  tokenizer: Tokenizer,
  golden: TokenizerGolden,
  sharedEvery = Infinity,
): { files: number; found: unknown; expected: unknown } {
  const isTaken = (name: string, index: number): boolean =>
    name.startsWith("presets/") || (sharedEvery < Infinity && index % sharedEvery === 0);
  const files = listTextFiles(SHARED_DATA).filter(({ name }, index) => isTaken(name, index));
  const encode = (text: string): Int32Array => tokenizer.encode(text).subarray(golden.prefix.length);
  return {
    files: files.length,
    found: Object.fromEntries(files.map(({ name, path }) => [name, digestTokens(readTexts(path), encode)])),
    expected: Object.fromEntries(files.map(({ name }) => [name, golden.files[name]])),
  };
}
