import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { documentLikelihoods } from "../../src/evaluation/perplexity.ts";
import { MAX_BATCH_TOKENS, makeBatches } from "../../src/model/batches.ts";
import { WHOLE_BLOCK } from "../../src/model/block-request.ts";
import { embedBatches } from "../../src/model/embedding.ts";
import { forward } from "../../src/model/forward.ts";
import { LayerProgram } from "../../src/model/layer-program.ts";
import { computeLogits } from "../../src/model/output-head.ts";
import { TINY_MODELS, openTinyGoldens, worstRelativeError } from "../support/forward-goldens.ts";
import type { TinyGoldens } from "../support/forward-goldens.ts";

/**
 * Both sides compute in f32, in a different order. Three to seven layers of sums of 48 to 96 terms stay well below it.
 */
const TOLERANCE = 2e-5;

describe.each(TINY_MODELS)("the forward pass of %s equals transformers'", (name) => {
  let goldens: TinyGoldens;
  beforeAll(async () => {
    goldens = await openTinyGoldens(name);
  });
  afterAll(async () => {
    await goldens.close();
  });

  test("hidden states after every layer, documents of different lengths in one batch", async () => {
    const { checkpoint, documents } = goldens;
    const { hiddenSize: D, numHiddenLayers: L } = checkpoint.config;
    const [batch, ...others] = makeBatches(documents, MAX_BATCH_TOKENS);
    expect(others).toHaveLength(0);
    const states = await embedBatches(checkpoint, [batch!], false, {});
    const program = new LayerProgram(checkpoint, [batch!], WHOLE_BLOCK);
    for (let layer = 0; layer < L; layer++) {
      for (const [row, index] of batch!.documents.entries()) {
        const all = await states.get(0);
        const own = all.subarray(row * batch!.length * D).subarray(0, documents[index]!.tokens.length * D);
        expect(worstRelativeError(own, await goldens.golden(`${index}.hidden.${layer}`))).toBeLessThan(TOLERANCE);
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
  });

  test("logits", async () => {
    const { checkpoint, documents } = goldens;
    const states = await forward(checkpoint, documents, "test", {});
    for (const [index, state] of states.entries()) {
      const logits = await computeLogits(checkpoint, state, {});
      expect(worstRelativeError(logits, await goldens.golden(`${index}.logits`))).toBeLessThan(TOLERANCE);
    }
  });

  test("negative log-likelihoods", async () => {
    const { checkpoint, documents } = goldens;
    const likelihoods = await documentLikelihoods(checkpoint, documents, {});
    for (const [index, likelihood] of likelihoods.entries()) {
      const losses = await goldens.golden(`${index}.losses`);
      const expected = losses.reduce((sum, loss) => sum + loss, 0);
      expect(Math.abs(likelihood - expected) / expected).toBeLessThan(TOLERANCE);
    }
  });
});

describe("batches", () => {
  test("hold every document once with little padding, and mask the padding", () => {
    const lengths = [5, 900, 33, 1200, 1, 64, 64, 2500];
    const documents = lengths.map((length) => ({ tokens: new Int32Array(length).fill(7), byteLength: length, source: "" }));
    const batches = makeBatches(documents, 2048);
    expect(batches.flatMap((batch) => batch.documents).toSorted((a, b) => a - b)).toEqual(lengths.map((_, index) => index));
    for (const batch of batches) {
      expect(batch.documents.length === 1 || batch.tokens.length <= 2048).toBe(true);
      const real = batch.documents.reduce((sum, index) => sum + lengths[index]!, 0);
      expect(batch.mask.reduce((sum, value) => sum + value, 0)).toBe(real);
      expect(batch.tokens.filter((token) => token === 7)).toHaveLength(real);
    }
  });
});
