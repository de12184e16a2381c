/**
 * @file Whole layers that change the residual stream least. Block Influence of a layer = 1 − mean over tokens of
 * cos(its input, its output). The paper has one corpus, so the documents of all dimensions are pooled, with the same
 * weight for every token.
 * Source: ShortGPT, arXiv 2403.03853, Block Influence.
 */

import { withUnitValues, type Method } from "./method.ts";

export const SHORTGPT: Method = {
  summary: "whole layers that change the residual stream least, all documents pooled (ShortGPT)",
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
