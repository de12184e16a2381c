/** @file Blocks with norms after the sublayers only, against a plain f64 forward pass. */

import { expect, test } from "vitest";
import type { TokenDocument } from "../../src/corpora/corpus.ts";
import { type Batch, makeBatches } from "../../src/model/batches.ts";
import { embedBatches } from "../../src/model/embedding.ts";
import { type BlockOutputs, LayerProgram } from "../../src/model/layer-program.ts";
import type { Feed } from "../../src/model/sessions.ts";
import { scoreCorpora } from "../../src/scoring/score.ts";
import { openScores } from "../../src/scoring/scores-file.ts";
import { ourLogits, worstRelativeError } from "../support/forward-goldens.ts";
import { postNormModel } from "../support/norm-placement.ts";
import { referenceLogits } from "../support/reference-forward.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyCheckpoint } from "../support/tiny-models.ts";

/** f32 against f64, over three layers of sums of 30 to 48 terms. */
const TOLERANCE = 2e-5;
/** Energies are squared and summed. */
const ENERGY_TOLERANCE = 1e-4;

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];
const DOCUMENT: TokenDocument = { tokens: Int32Array.from(IDS), byteLength: IDS.length, source: "test" };

test("the model has norms after its sublayers, and none before", async () => {
  const program = new LayerProgram(tinyCheckpoint(postNormModel()), [], { part: "block" });
  const { shape } = await program.readWeights(0);
  expect(shape.roles).toEqual(
    expect.arrayContaining(["postAttentionNorm", "postFfnNorm", "qNorm", "kNorm"]) as readonly string[],
  );
  expect(shape.roles).not.toContain("attentionNorm");
  expect(shape.roles).not.toContain("ffnNorm");
});

// Heads of 8 run in the fused attention, heads of 6 by attention maps.
test.each([8, 6])("logits, heads of %i", async (headDim) => {
  const model = postNormModel({ headDim });
  const expected = referenceLogits(model.configJson, model.tensors, IDS).flatMap((row) => [...row]);
  expect(worstRelativeError(await ourLogits(tinyCheckpoint(model), IDS), expected)).toBeLessThan(TOLERANCE);
});

test("the inputs of q, k and v, and of gate and up, are the residual stream itself", async () => {
  const model = postNormModel();
  const squares = new Map<string, number[]>();
  referenceLogits(model.configJson, model.tensors, IDS, (name, x) => {
    const sum = squares.get(name) ?? Array.from(x, () => 0);
    squares.set(
      name,
      sum.map((value, column) => value + x[column]! ** 2),
    );
  });
  const checkpoint = tinyCheckpoint(model);
  const batches = makeBatches([DOCUMENT], 512);
  const states = await embedBatches(checkpoint, batches, false, {});
  const none = (): Record<string, never> => ({});
  for (const [matrix, inputs, readers] of [
    ["o", "attentionInputSquares", ["q_proj", "k_proj", "v_proj"]],
    ["down", "ffnInputSquares", ["gate_proj", "up_proj"]],
  ] as const) {
    const upToMatrix = new LayerProgram(checkpoint, batches, { part: "inner", matrix, from: "sublayer", inputSquares: true });
    const fromMatrix = new LayerProgram(checkpoint, batches, { part: "output", matrix });
    const block = await upToMatrix.readWeights(0);
    let inner: Feed | null = null;
    const onBatch = (batch: Batch, outputs: BlockOutputs): void => {
      const where = matrix === "o" ? "self_attn" : "mlp";
      for (const reader of readers) expectClose(outputs[inputs]!, squares.get(`model.layers.0.${where}.${reader}.weight`)!);
      expectClose(outputs[`${matrix}Squares`]!, squares.get(`model.layers.0.${where}.${matrix}_proj.weight`)!);
      const data = outputs["inner"]!.slice();
      inner = { data, shape: [batch.documents.length, batch.length, data.length / batch.tokens.length] };
    };
    await upToMatrix.runLayer(0, block, states, null, none, onBatch, {});
    await fromMatrix.runLayer(
      0,
      block,
      states,
      states,
      () => ({ inner: inner! }),
      () => undefined,
      {},
    );
    await upToMatrix.close();
    await fromMatrix.close();
  }
});

test("relevance of an FFN unit: its activation through down and the post norm, whose denominator is held fixed", () =>
  withFolder(async (folder) => {
    const model = postNormModel();
    const layer = 1;
    const down = model.tensors.get(`model.layers.${layer}.mlp.down_proj.weight`)!;
    const gain = model.tensors.get(`model.layers.${layer}.post_feedforward_layernorm.weight`)!.values;
    const [D, F] = down.shape as [number, number];
    const energies = new Float64Array(F);
    referenceLogits(model.configJson, model.tensors, IDS, (name, x) => {
      if (name !== `model.layers.${layer}.mlp.down_proj.weight`) return;
      const output = Array.from({ length: D }, (_, d) => x.reduce((sum, value, j) => sum + value * down.values[d * F + j]!, 0));
      const meanSquare = output.reduce((sum, value) => sum + value ** 2, 0) / D + model.config.rmsNormEps;
      for (let j = 0; j < F; j++) {
        // Gemma stores the norm's weight minus one.
        let energy = 0;
        for (let d = 0; d < D; d++) energy += (x[j]! * down.values[d * F + j]! * (1 + gain[d]!)) ** 2;
        energies[j]! += energy / meanSquare;
      }
    });
    const path = `${folder}/scores.safetensors`;
    const corpora = [{ dimension: "language", label: "one", calibration: [DOCUMENT], heldOut: [] }] as const;
    await scoreCorpora(tinyCheckpoint(model), corpora, path);
    const scores = await openScores(path);
    expectClose(await scores.read(layer, "ffn"), Array.from(energies, Math.sqrt));
    await scores.close();
  }));

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(worstRelativeError(actual, expected)).toBeLessThan(ENERGY_TOLERANCE);
}
