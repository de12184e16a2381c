/**
 * @file Corpora from presets and files: the split, determinism, mixing, truncation and errors.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { type Corpus, DIMENSIONS, type TokenDocument } from "../../src/corpora/corpus.ts";
import {
  type CorpusSpecs,
  DEFAULT_DOCUMENTS,
  DEFAULT_HELD_OUT_DOCUMENTS,
  DEFAULT_MAX_TOKENS,
  fitToPositions,
  loadCorpora,
} from "../../src/corpora/load.ts";
import { presetNames } from "../../src/corpora/presets.ts";
import { MIN_DOCUMENT_TOKENS } from "../../src/corpora/token-document.ts";
import type { Tokenizer } from "../../src/corpora/tokenizer.ts";
import { makeTokenizer, realMetadata } from "../support/gguf-tokenizers.ts";
import { errorOf } from "../support/temporary-gguf.ts";

const smollm2 = makeTokenizer(await realMetadata("smollm2"));
const folder = mkdtempSync(join(tmpdir(), "cusprun-load-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A tokenizer with BOS and one token per byte, so that lengths can be tested without a model. */
const bytes: Tokenizer = {
  vocabSize: 257,
  prefix: Int32Array.of(256),
  encode: (text) => Int32Array.of(256, ...Buffer.from(text)),
  decode: (ids) => Buffer.from(ids).toString(),
};

function corpusFile(name: string, texts: readonly string[]): string {
  const path = join(folder, name);
  writeFileSync(path, texts.map((text) => `${JSON.stringify({ text })}\n`).join(""));
  return path;
}

const numbered = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${name} document number ${index}`);
const textOf = ({ tokens }: TokenDocument): string => bytes.decode(tokens.subarray(1));
const textsOf = (documents: readonly TokenDocument[]): string[] => documents.map(textOf);

describe("presets", () => {
  test("exist under their documented names", () => {
    expect(presetNames("language")).toEqual(["de", "en", "es", "fr", "it", "ja", "ru", "zh"]);
    expect(presetNames("domain")).toEqual(["e-commerce", "finance", "legal", "math", "medical"]);
    expect(presetNames("task")).toEqual([
      "math-word-problems",
      "multiple-choice",
      "question-answering",
      "sentiment",
      "summarisation",
    ]);
  });

  test("yield three corpora of the default size that share no held-out text", async () => {
    const corpora = await loadCorpora({ task: ["multiple-choice"], language: ["en"], domain: ["medical"] }, smollm2);
    expect(corpora.map(({ dimension, label }) => [dimension, label])).toEqual([
      ["language", "en"],
      ["domain", "medical"],
      ["task", "multiple-choice"],
    ]);
    for (const { calibration, heldOut } of corpora) {
      expect(calibration).toHaveLength(DEFAULT_DOCUMENTS);
      expect(heldOut).toHaveLength(DEFAULT_HELD_OUT_DOCUMENTS);
      for (const { tokens, byteLength, source } of [...calibration, ...heldOut]) {
        expect(tokens.length).toBeGreaterThanOrEqual(MIN_DOCUMENT_TOKENS);
        expect(tokens.length).toBeLessThanOrEqual(DEFAULT_MAX_TOKENS);
        expect(byteLength).toBe(Buffer.byteLength(smollm2.decode(tokens)));
        expect(source).toMatch(/^preset (language\/en|domain\/medical|task\/multiple-choice):\d+$/);
      }
    }
  });

  test.for(DIMENSIONS.flatMap((dimension) => presetNames(dimension).map((name) => [dimension, name] as const)))(
    "%s %s can be loaded",
    async ([dimension, name]) => {
      const [corpus] = await loadCorpora({ [dimension]: [name] }, smollm2, { documents: 48, heldOutDocuments: 12 });
      expect(corpus?.calibration).toHaveLength(48);
      expect(corpus?.heldOut).toHaveLength(12);
    },
  );

  test("the error for an unknown name lists the known names", async () => {
    const error = await errorOf(loadCorpora({ language: ["klingon"] }, bytes));
    expect(error.code).toBe("PRESET_UNKNOWN");
    expect(error.message).toMatch(
      /--language: found 'klingon', which is neither a preset nor a path, expected one of de, en, .*OWNER\/klingon/,
    );
  });
});

describe("the split", () => {
  /** Overlapping corpora: each dimension takes some of the same 60 texts. */
  const corpora = fc.record({
    counts: fc.tuple(...DIMENSIONS.map(() => fc.uniqueArray(fc.nat(59), { minLength: 8, maxLength: 60 }))),
    documents: fc.integer({ min: 4, max: 40 }),
    heldOutDocuments: fc.integer({ min: 1, max: 6 }),
    seed: fc.nat(1000),
  });

  test("holds out no calibration document of any dimension, and does not depend on the order of lines", async () => {
    await fc.assert(
      fc.asyncProperty(corpora, async ({ counts, ...options }) => {
        const load = async (flip: boolean): Promise<readonly Corpus[]> => {
          const specs = Object.fromEntries(
            DIMENSIONS.map((dimension, index) => {
              const texts = counts[index]!.map((number) => `this is document number ${number}`);
              return [dimension, [corpusFile(`${dimension}.jsonl`, flip ? texts.toReversed() : texts)]];
            }),
          ) as CorpusSpecs;
          return loadCorpora(specs, bytes, options);
        };
        const first = await load(false);
        const calibration = new Set(first.flatMap((corpus) => textsOf(corpus.calibration)));
        const heldOut = first.flatMap((corpus) => textsOf(corpus.heldOut));
        expect(heldOut.filter((text) => calibration.has(text))).toEqual([]);
        for (const corpus of first) {
          expect(new Set(textsOf(corpus.calibration)).size).toBe(corpus.calibration.length);
          expect(corpus.calibration.length).toBeLessThanOrEqual(options.documents);
          expect(corpus.heldOut.length).toBeLessThanOrEqual(options.heldOutDocuments);
          expect(Math.min(corpus.calibration.length, corpus.heldOut.length)).toBeGreaterThan(0);
        }
        const again = await load(true);
        expect(again.map((corpus) => [textsOf(corpus.calibration), textsOf(corpus.heldOut)])).toEqual(
          first.map((corpus) => [textsOf(corpus.calibration), textsOf(corpus.heldOut)]),
        );
      }),
      { numRuns: 30 },
    );
  });

  test("held-out documents do not depend on other dimensions, but on the seed", async () => {
    const alone = await loadCorpora({ domain: ["legal"] }, smollm2);
    const together = await loadCorpora({ language: ["en"], domain: ["legal"] }, smollm2);
    expect(together[1]?.heldOut).toEqual(alone[0]?.heldOut);
    const reseeded = await loadCorpora({ domain: ["legal"] }, smollm2, { seed: 1 });
    expect(reseeded[0]?.heldOut).not.toEqual(alone[0]?.heldOut);
  });

  test("the same corpus in two dimensions yields the same document objects", async () => {
    const path = corpusFile("both.jsonl", numbered("both", 30));
    const [language, task] = await loadCorpora({ language: [path], task: [path] }, bytes);
    language!.calibration.forEach((document, index) => expect(task!.calibration[index]).toBe(document));
  });

  test.for([
    [120, 96, 24],
    [200, 96, 24],
    [50, 40, 10],
    [2, 1, 1],
  ])("%i documents are shared out as %i and %i", async ([count, documents, heldOut]) => {
    const [corpus] = await loadCorpora({ task: [corpusFile("n.jsonl", numbered("some", count!))] }, bytes);
    expect([corpus?.calibration.length, corpus?.heldOut.length]).toEqual([documents, heldOut]);
  });

  test("no document is held out if none is requested", async () => {
    const [corpus] = await loadCorpora({ task: [corpusFile("n.jsonl", numbered("some", 3))] }, bytes, { heldOutDocuments: 0 });
    expect([corpus?.calibration.length, corpus?.heldOut.length]).toEqual([3, 0]);
  });

  test("several specs are mixed in equal shares, and a short one is filled up from the others", async () => {
    const large = corpusFile("large.jsonl", numbered("large", 200));
    const small = corpusFile("small.jsonl", numbered("small", 10));
    const [corpus] = await loadCorpora({ language: ["en", large, small] }, bytes, { documents: 40, heldOutDocuments: 5 });
    expect(corpus?.label).toBe("en + large.jsonl + small.jsonl");
    const all = [...corpus!.calibration, ...corpus!.heldOut].map(({ source }) => source);
    const count = (part: string): number => all.filter((source) => source.includes(part)).length;
    expect([all.length, count("small"), count("large"), count("preset")]).toEqual([45, 10, 17, 18]);
  });

  test("duplicates count once, and short documents are skipped", async () => {
    const texts = numbered("same", 6);
    const path = corpusFile("doubles.jsonl", [...texts, ...texts, "short", ""]);
    const [corpus] = await loadCorpora({ task: [path] }, bytes);
    expect([...textsOf(corpus!.calibration), ...textsOf(corpus!.heldOut)].sort()).toEqual(texts);
  });
});

describe("truncation", () => {
  test("keeps whole characters after BOS, and counts the kept bytes", async () => {
    const text = `${"ab".repeat(20)}${"😀é的".repeat(40)}`;
    const path = corpusFile("long.jsonl", [text, `x${text}`, `xy${text}`, `xyz${text}`]);
    const [corpus] = await loadCorpora({ task: [path] }, bytes, { maxTokens: 64 });
    for (const document of [...corpus!.calibration, ...corpus!.heldOut]) {
      const kept = textOf(document);
      expect(document.tokens[0]).toBe(256);
      expect(document.tokens.length).toBeGreaterThan(60);
      expect(document.tokens.length).toBeLessThanOrEqual(64);
      expect(kept).not.toContain("\ufffd");
      expect(document.byteLength).toBe(document.tokens.length - 1);
      expect(["", "x", "xy", "xyz"].some((start) => `${start}${text}`.startsWith(kept))).toBe(true);
    }
  });

  test("counts the bytes of the whole text if nothing is cut", async () => {
    const texts = numbered("größere und kleinere", 4).map((text) => `${text}: ${"äöü ".repeat(10)}`);
    const [corpus] = await loadCorpora({ task: [corpusFile("whole.jsonl", texts)] }, smollm2);
    const lengths = [...corpus!.calibration, ...corpus!.heldOut].map(({ byteLength }) => byteLength);
    const ascending = (values: number[]): number[] => values.toSorted((a, b) => a - b);
    expect(ascending(lengths)).toEqual(ascending(texts.map((text) => Buffer.byteLength(text))));
  });

  test("counts the bytes of the decoded tokens if the tokenizer normalises the text", async () => {
    const shouting: Tokenizer = { ...bytes, decode: (ids) => bytes.decode(ids).toUpperCase() };
    const [corpus] = await loadCorpora({ task: [corpusFile("shout.jsonl", numbered("quiet", 2))] }, shouting, { maxTokens: 16 });
    expect(corpus?.heldOut[0]).toMatchObject({ byteLength: 15, tokens: expect.objectContaining({ length: 16 }) });
  });
});

describe("errors", () => {
  test.for<[string, string[]]>([
    ["only short documents", ["a", "b c", "d"]],
    ["one long document among short ones", ["a", "this is a document that is long enough"]],
  ])("%s", async ([, texts]) => {
    const error = await errorOf(loadCorpora({ domain: [corpusFile("short.jsonl", texts)] }, bytes));
    expect(error.code).toBe("CORPUS_TOO_SHORT");
    expect(error.message).toMatch(
      new RegExp(`--domain short.jsonl: found \\d of ${texts.length} documents with at least ${MIN_DOCUMENT_TOKENS} tokens`),
    );
  });

  test.for([{ documents: 0 }, { heldOutDocuments: -1 }, { maxTokens: 8 }, { seed: 0.5 }, { documents: Number.NaN }])(
    "options %o",
    async (options) => {
      const error = await errorOf(loadCorpora({ language: ["en"] }, bytes, options));
      expect(error.code).toBe("USAGE");
      expect(error.message).toContain(Object.keys(options)[0]);
    },
  );

  test("an aborted job stops", async () => {
    const reason = new Error("enough");
    const loading = loadCorpora({ domain: ["medical"] }, bytes, { signal: AbortSignal.abort(reason) });
    await expect(loading).rejects.toBe(reason);
  });
});

describe("fitToPositions", () => {
  test("shortens documents to a model's positions by default, and refuses longer ones", () => {
    expect(fitToPositions(undefined, 8192)).toEqual({ maxTokens: 512 });
    expect(fitToPositions({ seed: 3 }, 256)).toEqual({ seed: 3, maxTokens: 256 });
    expect(fitToPositions({ maxTokens: 1024 }, 1024)).toEqual({ maxTokens: 1024 });
    expect(() => fitToPositions({ maxTokens: 1025 }, 1024)).toThrow(
      expect.objectContaining({
        code: "USAGE",
        message: expect.stringMatching(/--max-tokens: found 1025 tokens.*at most 1024.*Write --max-tokens 1024/),
      }),
    );
  });
});
