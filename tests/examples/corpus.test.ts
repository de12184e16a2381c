/** @file The corpus of the examples: every line is a document, and it is large enough to hold some back. */

import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { loadCorpora } from "../../src/corpora/load.ts";
import { readDocuments } from "../../src/corpora/read-documents.ts";
import type { Tokenizer } from "../../src/corpora/tokenizer.ts";

const PATH = fileURLToPath(new URL("../../examples/my-corpus.jsonl", import.meta.url));

/** One token a byte, to see documents without a model. */
const bytes: Tokenizer = {
  vocabSize: 256,
  prefix: new Int32Array(),
  encode: (text) => Int32Array.from(Buffer.from(text)),
  decode: (ids) => Buffer.from(ids).toString(),
};

test("holds twelve different texts", async () => {
  const texts: string[] = [];
  for await (const { text } of readDocuments(PATH)) texts.push(text);
  expect(texts).toHaveLength(12);
  expect(new Set(texts).size).toBe(12);
  expect(Math.min(...texts.map((text) => text.length))).toBeGreaterThan(400);
});

test("is split into documents that choose and documents that are held out", async () => {
  const [corpus] = await loadCorpora({ domain: [PATH] }, bytes);
  expect(corpus).toMatchObject({ dimension: "domain", label: "my-corpus.jsonl" });
  expect([corpus?.calibration.length, corpus?.heldOut.length]).toEqual([10, 2]);
});
