/**
 * @file Whole layers that change the residual stream least. Block Influence of a layer = 1 − mean over tokens of cos(what enters, what leaves); the paper
 * knows one corpus, so that the documents of all dimensions are pooled, each token counting the same.
 * Source: ShortGPT, arXiv 2403.03853, Block Influence.
 */

import { withUnitValues, type Method } from "./method.ts";

export const SHORTGPT: Method = {
  summary: "whole layers that change the stream least, all documents pooled (ShortGPT)",
  source: "ShortGPT, arXiv 2403.03853, Block Influence",
  defaults: { kinds: ["layer"], repair: false },
  kinds: ["layer"],
  matrix: false,
  relevances: (scores) =>
    withUnitValues(scores, "shortgpt", async (layer) => {
      const influences = await scores.read(layer, "layer");
      let [sum, tokens] = [0, 0];
      for (const [document, { tokenCount }] of scores.documents.entries()) {
        sum += tokenCount * influences[document]!;
        tokens += tokenCount;
      }
      return Float32Array.of(sum / tokens);
    }),
};
