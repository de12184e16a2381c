import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import type { Corpus } from "../../src/corpora/corpus.ts";
import type { CorpusSpecs } from "../../src/corpora/load.ts";
import { loadCorpora } from "../../src/corpora/load.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { documentLikelihoods, summarizePerplexity } from "../../src/evaluation/perplexity.ts";
import { PLAN_FILE_NAME } from "../../src/export/unlisted-expert.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { readPlan } from "../../src/selection/plan-file.ts";
import { realModel } from "../support/real-models.ts";

/**
 * Small, so that two experts of a 0.5B model take only minutes on two cores; their differences are far larger than the
 * noise.
 */
const CORPUS_OPTIONS = { documents: 24, heldOutDocuments: 12, maxTokens: 128 };

const EXPERTS = {
  chineseLegal: { language: ["zh"], domain: ["legal"] },
  englishMedical: { language: ["en"], domain: ["medical"] },
} as const satisfies Record<string, CorpusSpecs>;
type ExpertName = keyof typeof EXPERTS;
const NAMES = Object.keys(EXPERTS) as ExpertName[];

describe("two experts of Qwen2.5-Coder-0.5B-Instruct", () => {
  let folder: string;
  let homes: Record<ExpertName, readonly Corpus[]>;
  const pathOf = (name: ExpertName): string => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "cusprun-test-"));
    const model = await realModel("qwen2");
    for (const name of NAMES) {
      await pruneModel({
        model,
        corpora: EXPERTS[name],
        corpusOptions: CORPUS_OPTIONS,
        selection: { budget: "25% of blocks", layout: "uniform" },
        out: pathOf(name),
        work: join(folder, "work"),
        measure: false,
        // Only the selection of units is compared.
        repair: false,
      });
    }
    const checkpoint = await openCheckpoint(model);
    const tokenizer = createTokenizer((await checkpoint.readTokenizerFiles())!, model);
    await checkpoint.close();
    homes = {
      chineseLegal: await loadCorpora(EXPERTS.chineseLegal, tokenizer, CORPUS_OPTIONS),
      englishMedical: await loadCorpora(EXPERTS.englishMedical, tokenizer, CORPUS_OPTIONS),
    };
  }, 1_200_000);
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  test("keep different units", async () => {
    const removed = await Promise.all(
      NAMES.map(async (name) => {
        const { layers } = await readPlan(join(pathOf(name), PLAN_FILE_NAME));
        return new Set(layers.flatMap(({ layer, cuts }) => (cuts.ffn?.removed ?? []).map((unit) => `${layer}:${unit}`)));
      }),
    );
    const [one, other] = removed as [Set<string>, Set<string>];
    const both = [...one].filter((unit) => other.has(unit)).length;
    expect(one.size).toBe(other.size);
    // Equal sets would share everything, independent ones the share that is removed (about a third).
    expect(both / one.size).toBeLessThan(0.85);
  });

  test("each predicts its own held-out documents better than the other expert does", async () => {
    const perplexities: Record<string, number> = {};
    for (const expert of NAMES) {
      const checkpoint = await openCheckpoint(pathOf(expert));
      for (const home of NAMES) {
        const documents = homes[home].flatMap(({ heldOut }) => heldOut);
        perplexities[`${expert} at ${home}`] = summarizePerplexity(
          documents,
          await documentLikelihoods(checkpoint, documents, {}),
        ).perplexity;
      }
      await checkpoint.close();
    }
    expect(perplexities["chineseLegal at chineseLegal"]).toBeLessThan(perplexities["englishMedical at chineseLegal"]!);
    expect(perplexities["englishMedical at englishMedical"]).toBeLessThan(perplexities["chineseLegal at englishMedical"]!);
  });
});
