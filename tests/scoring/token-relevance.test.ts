/** @file Relevances of tokens, from documents that fall into one half or into both. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { TokenDocument } from "../../src/corpora/corpus.ts";
import { halfOf } from "../../src/corpora/token-counts.ts";
import { openScores } from "../../src/scoring/scores-file.ts";
import { scoreCorpora } from "../../src/scoring/score.ts";
import { tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

const CHECKPOINT = tinyCheckpoint(tinyModel("llama", { numHiddenLayers: 1 }));
const V = CHECKPOINT.config.vocabSize;

/** Documents whose first tokens put them into a half. */
function documentsOf(half: 0 | 1, count: number): TokenDocument[] {
  const all = Array.from({ length: 64 }, (_, index) =>
    Int32Array.from({ length: 12 }, (__, t) => 3 + ((index * 7 + t * 5) % 40)),
  );
  return all
    .filter((tokens) => halfOf(tokens) === half)
    .slice(0, count)
    .map((tokens) => ({ tokens, byteLength: 12, source: "made up" }));
}

test.each([
  ["both halves", [...documentsOf(0, 2), ...documentsOf(1, 3)]],
  ["the first half", documentsOf(0, 3)],
  ["the second half", documentsOf(1, 1)],
])("documents of %s: the tokens' shares add up to 1 in each half", async (_, calibration) => {
  const folder = await mkdtemp(join(tmpdir(), "cusprun-test-"));
  const uniform = (): Float64Array => new Float64Array(V).fill(1 / V);
  const path = join(folder, "scores.safetensors");
  await scoreCorpora(CHECKPOINT, [{ dimension: "domain", label: "made up", calibration, heldOut: [] }], path, {
    vocabulary: {
      counts: new Map([["domain", { halves: [uniform(), uniform()], words: null }]]),
      derivations: new Map(),
      alwaysKept: new Set(),
    },
  });
  const scores = await openScores(path);
  const vocabulary = await scores.readVocabulary();
  for (const half of vocabulary!.relevances.get("domain")!.halves)
    expect(half.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 5);
  await scores.close();
  await rm(folder, { recursive: true });
});
