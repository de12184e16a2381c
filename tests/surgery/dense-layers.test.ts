/** @file The dense model beside the one under repair: computed anew, or as scoring has kept it. */

import { join } from "node:path";
import { expect, test } from "vitest";
import type { Corpus, TokenDocument } from "../../src/corpora/corpus.ts";
import { makeBatches } from "../../src/model/batches.ts";
import type { HiddenStates } from "../../src/model/hidden-states.ts";
import { KeptStates } from "../../src/model/kept-states.ts";
import { scoreCorpora } from "../../src/scoring/score.ts";
import { DenseLayers } from "../../src/surgery/dense-layers.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

test.each(TINY_FAMILIES)("%s: states that scoring keeps are those of a run of the dense model, bit for bit", (family) =>
  withFolder(async (folder) => {
    const checkpoint = tinyCheckpoint(tinyModel(family));
    const documents = [9, 14, 14, 30].map((length, index): TokenDocument => ({
      tokens: Int32Array.from({ length }, (_, at) => (7 * at + 3 * index) % checkpoint.config.vocabSize),
      byteLength: 1,
      source: `${index}`,
    }));
    const corpus: Corpus = { dimension: "domain", label: "tiny", calibration: documents, heldOut: [] };
    const kept = new KeptStates();
    const kinds = ["ffn", "head", "kv-group", "layer"] as const;
    await scoreCorpora(checkpoint, [corpus], join(folder, "scores.safetensors"), { kinds, keep: kept });
    const batches = makeBatches(documents, 512);
    const { numHiddenLayers } = checkpoint.config;
    expect(kept.before(numHiddenLayers, batches)).not.toBeNull();
    expect(kept.before(numHiddenLayers + 1, batches)).toBeNull();
    expect(kept.before(0, makeBatches(documents.slice(1), 512))).toBeNull();
    const anew = await DenseLayers.open(checkpoint, batches, null, false, {});
    const withKept = await DenseLayers.open(checkpoint, batches, kept, false, {});
    const valuesOf = async (states: HiddenStates): Promise<Float32Array[]> => {
      const all: Float32Array[] = [];
      for (const number of batches.keys()) all.push((await states.get(number)).slice());
      return all;
    };
    for (let layer = 0; layer < numHiddenLayers; layer++) {
      const [left, right] = [await anew.layer(layer), await withKept.layer(layer)];
      for (const name of ["before", "between", "after"] as const)
        expect(await valuesOf(left[name])).toEqual(await valuesOf(right[name]));
    }
    for (const opened of [anew, withKept, kept]) await opened.close();
  }),
);
