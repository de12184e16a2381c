/** @file Which documents a repair is fitted on. */

import { describe, expect, test } from "vitest";
import type { Corpus, Dimension, TokenDocument } from "../../src/corpora/corpus.ts";
import type { Tokenizer } from "../../src/corpora/tokenizer.ts";
import { gatherRepairDocuments } from "../../src/pipeline/repair-step.ts";

/** Bytes as tokens, so that different texts stay different. */
const TOKENIZER: Tokenizer = {
  vocabSize: 256,
  prefix: new Int32Array(0),
  encode: (text) => Int32Array.from(Buffer.from(text)),
  decode: (ids) => Buffer.from(Uint8Array.from(ids)).toString(),
};

function corpusOf(dimension: Dimension, count: number): Corpus {
  const calibration = Array.from({ length: count }, (_, index): TokenDocument => ({
    tokens: Int32Array.of(dimension.length, index),
    byteLength: 1,
    source: `${dimension} ${index}`,
  }));
  return { dimension, label: dimension, calibration, heldOut: [] };
}

async function sources(corpora: readonly Corpus[], generalShare?: number): Promise<string[]> {
  const options = generalShare === undefined ? {} : { generalShare };
  const { documents } = await gatherRepairDocuments(corpora, TOKENIZER, options, { maxTokens: 32 }, {});
  return documents.map(({ source }) => source.replace(/^.*general/, "general").split(/[ .]/)[0]!);
}

const countOf = (all: readonly string[], name: string): number => all.filter((source) => source === name).length;

describe("documents of a repair", () => {
  const corpora = [corpusOf("language", 100), corpusOf("task", 100)];

  test("are by default those that are scored, in that order, with every fifth of each dimension held back", async () => {
    const { documents, heldBack } = await gatherRepairDocuments(corpora, TOKENIZER, {}, { maxTokens: 32 }, {});
    expect(documents.map(({ source }) => source)).toEqual(
      corpora.flatMap(({ calibration }) => calibration.map(({ source }) => source)),
    );
    // In turn from the dimensions: the fifth of ten is the third of the first, the tenth the fifth of the second.
    const places = [...heldBack.entries()].filter(([, held]) => held).map(([place]) => place);
    expect(places.slice(0, 3)).toEqual([2, 7, 12]);
    expect(places.filter((place) => place >= 100).slice(0, 3)).toEqual([104, 109, 114]);
    expect(places).toHaveLength(40);
  });

  test("contain the requested share of general text, evenly distributed among those held back", async () => {
    const { documents, heldBack } = await gatherRepairDocuments(
      corpora,
      TOKENIZER,
      { generalShare: 0.25 },
      { maxTokens: 32 },
      {},
    );
    const all = await sources(corpora, 0.25);
    expect([countOf(all, "language"), countOf(all, "task"), countOf(all, "general")]).toEqual([75, 75, 50]);
    const generalHeldBack = documents.filter(({ source }, index) => heldBack[index] && source.includes("general"));
    expect(Math.abs(generalHeldBack.length - 10)).toBeLessThanOrEqual(5);
    // Of few documents no more than the share.
    expect(countOf(await sources([corpusOf("domain", 6)], 0.25), "general")).toBe(1);
  });

  test("can be general alone", async () => {
    const all = await sources(corpora, 1);
    expect(new Set(all)).toEqual(new Set(["general"]));
  });

  test.each([-0.1, 1.1, Number.NaN])("refuse a share of %s", async (share) => {
    await expect(sources(corpora, share)).rejects.toMatchObject({ code: "USAGE" });
  });
});
