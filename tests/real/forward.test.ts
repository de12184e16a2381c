import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openGguf } from "../../src/checkpoint/gguf/open-gguf.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors/read.ts";
import { documentLikelihoods } from "../../src/evaluation/perplexity.ts";
import { MAX_BATCH_TOKENS, makeBatches } from "../../src/model/batches.ts";
import { WHOLE_BLOCK } from "../../src/model/block-request.ts";
import { embedBatches } from "../../src/model/embedding.ts";
import { LayerProgram } from "../../src/model/layer-program.ts";
import { computeLogits } from "../../src/model/output-head.ts";
import { worstRelativeError } from "../support/forward-goldens.ts";
import { realModel } from "../support/real-models.ts";
import type { RealModelName } from "../support/real-models.ts";

const FIXTURES = join(import.meta.dirname, "..", "fixtures", "real");

/** The issue's bound on the worst relative error of logits against transformers' f32; both sides sum in another order. */
const LOGITS_TOLERANCE = 1e-3;
/** Perplexity is an average: far closer than its worst logit. */
const PERPLEXITY_TOLERANCE = 1e-4;

const models: readonly RealModelName[] = ["smollm2", "qwen2", "gemma3"];

describe.each(models)("%s: transformers' f32 hidden states, logits and perplexity", (name) => {
  test("agree", { timeout: 300_000 }, async () => {
    const checkpoint = await openGguf(await realModel(name));
    const goldens = await SafetensorsFile.open(join(FIXTURES, `${name}.safetensors`));
    const allTokens = JSON.parse(await readFile(join(FIXTURES, "tokens.json"), "utf8")) as Record<string, number[][]>;
    const documents = allTokens[name]!.map((tokens, index) => ({
      tokens: Int32Array.from(tokens),
      byteLength: tokens.length,
      source: `golden:${index}`,
    }));
    const { hiddenSize: D, numHiddenLayers: L, vocabSize: V } = checkpoint.config;
    const stride = Number(goldens.metadata["vocabularyStride"]);
    const batches = makeBatches(documents, MAX_BATCH_TOKENS);
    const states = await embedBatches(checkpoint, batches, false, {});
    const program = new LayerProgram(checkpoint, batches, WHOLE_BLOCK);
    /** Rows [T, D] of a document. */
    const rowsOf = async (document: number): Promise<Float32Array<ArrayBuffer>> => {
      const number = batches.findIndex((batch) => batch.documents.includes(document));
      const start = batches[number]!.documents.indexOf(document) * batches[number]!.length * D;
      return (await states.get(number)).slice(start, start + documents[document]!.tokens.length * D);
    };

    for (let layer = 0; layer < L; layer++) {
      if (layer % 6 === 0) {
        for (const index of documents.keys()) {
          const expected = await goldens.readFloat32(`${index}.hidden.${layer}`);
          expect(worstRelativeError((await rowsOf(index)).subarray(-expected.length), expected)).toBeLessThan(LOGITS_TOLERANCE);
        }
      }
      await program.runLayer(
        layer,
        await program.readWeights(layer),
        states,
        states,
        () => ({}),
        () => undefined,
        {},
      );
    }
    await program.close();

    for (const [index] of documents.entries()) {
      const rows = (await rowsOf(index)).subarray(-48 * D);
      const logits = await computeLogits(checkpoint, rows, {});
      const kept = Math.ceil(V / stride);
      const strided = Float32Array.from({ length: (rows.length / D) * kept }, (_, at) => {
        return logits[Math.floor(at / kept) * V + (at % kept) * stride]!;
      });
      expect(worstRelativeError(strided, await goldens.readFloat32(`${index}.logits`))).toBeLessThan(LOGITS_TOLERANCE);
    }

    const likelihoods = await documentLikelihoods(checkpoint, documents, {});
    for (const [index, likelihood] of likelihoods.entries()) {
      const losses = await goldens.readFloat32(`${index}.losses`);
      const expected = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      const perplexityRatio = Math.exp(likelihood / losses.length - expected);
      expect(Math.abs(perplexityRatio - 1)).toBeLessThan(PERPLEXITY_TOLERANCE);
    }
    await goldens.close();
    await checkpoint.close();
  });
});
