/**
 * @file Models that join a text model with an image encoder in the way of LLaVA.
 * Source: transformers 5.23, `llava` and `LlavaModel` in conversion_mapping.py.
 */

import type { FamilyWrapper } from "./family.ts";

/** A wrapper with LLaVA's tensor names, in all three forms that transformers has written. */
export function llavaWrapper(traits: Omit<FamilyWrapper, "textPrefixes" | "otherPrefixes">): FamilyWrapper {
  return {
    ...traits,
    textPrefixes: [
      // Since transformers 4.52.
      ["model.language_model.", "model."],
      // Before, and again in transformers 5.
      ["language_model.model.", "model."],
      ["language_model.lm_head.", "lm_head."],
      // Without the output head.
      ["language_model.", "model."],
    ],
    otherPrefixes: ["vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."],
  };
}
