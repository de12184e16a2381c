/**
 * @file The config of a text model inside that of a multimodal model: which of the two counts, and what is refused.
 * Logits are compared with those of transformers in tests/interop/wrappers.test.ts. The first config is that of
 * google/gemma-3-4b-it; its sizes are those of its tensors on the hub.
 */

import { describe, expect, test } from "vitest";
import { parseModelConfig } from "../../../src/checkpoint/config/text-config.ts";
import type { JsonObject } from "../../../src/json.ts";

const GEMMA: JsonObject = {
  architectures: ["Gemma3ForConditionalGeneration"],
  boi_token_index: 255_999,
  eoi_token_index: 256_000,
  eos_token_id: [1, 106],
  image_token_index: 262_144,
  initializer_range: 0.02,
  mm_tokens_per_image: 256,
  model_type: "gemma3",
  text_config: {
    hidden_size: 2560,
    intermediate_size: 10_240,
    model_type: "gemma3_text",
    num_hidden_layers: 34,
    rope_scaling: { factor: 8.0, rope_type: "linear" },
    sliding_window: 1024,
  },
  torch_dtype: "bfloat16",
  transformers_version: "4.50.0.dev0",
  vision_config: { hidden_size: 1152, model_type: "siglip_vision_model" },
};

const parse = (changes: JsonObject = {}, hasHead: boolean | null = null): ReturnType<typeof parseModelConfig> =>
  parseModelConfig({ ...GEMMA, ...changes }, "m/config.json", hasHead);

describe("a multimodal config", () => {
  test("gives the text model's, with the class's defaults for absent sizes", () => {
    const { config, configJson, wrapper } = parse();
    expect(wrapper?.modelType).toBe("gemma3");
    expect(config).toMatchObject({
      family: "gemma3",
      hiddenSize: 2560,
      numHiddenLayers: 34,
      headDim: 256,
      vocabSize: 262_208,
      slidingWindow: 1024,
      tieWordEmbeddings: true,
      eosTokenIds: [1, 106],
      bosTokenId: 2,
    });
    expect(config.layerSizes[0]).toEqual({ intermediateSize: 10_240, numAttentionHeads: 8, numKeyValueHeads: 4 });
    expect(config.rope.full_attention).toEqual({ theta: 1e6, scaling: { type: "linear", factor: 8 } });
    expect(config.rope.sliding_attention).toEqual({ theta: 1e4, scaling: null });
    expect(configJson).toMatchObject({
      architectures: ["Gemma3ForCausalLM"],
      model_type: "gemma3_text",
      dtype: "bfloat16",
      vocab_size: 262_208,
      num_attention_heads: 8,
      tie_word_embeddings: true,
      eos_token_id: [1, 106],
    });
    for (const key of ["text_config", "vision_config", "image_token_index", "torch_dtype"])
      expect(configJson).not.toHaveProperty(key);
  });

  test.each([
    [{ tie_word_embeddings: false }, {}, null, false],
    [{ tie_word_embeddings: false }, { tie_word_embeddings: true }, null, false],
    [{}, { tie_word_embeddings: false }, null, false],
    [{}, {}, null, true],
    [{}, {}, false, true],
    [{}, {}, true, false],
    [{ tie_word_embeddings: true }, {}, true, true],
  ])("tied: outer %j, text %j, head stored: %j: %j", (outer, text, hasHead, tied) => {
    const text_config = { ...(GEMMA["text_config"] as JsonObject), ...text };
    expect(parse({ ...outer, text_config }, hasHead).config.tieWordEmbeddings).toBe(tied);
  });

  test.each<[JsonObject, RegExp]>([
    [{ text_config: null }, /text_config: found nothing/],
    [{ text_config: [] }, /text_config: found \[\], expected an object/],
    [{ text_config: { model_type: "llama" } }, /text_config: model_type: found "llama", expected gemma3_text/],
    [{ text_config: { hidden_size: -1 } }, /text_config: hidden_size: found -1/],
    [
      { model_type: "qwen2_5_vl" },
      /model_type: found "qwen2_5_vl", expected .*one of these kinds: llava, mistral3, internvl, gemma3/,
    ],
    [{ model_type: "qwen2_audio", text_config: null, vision_config: null, audio_config: {} }, /model_type: found "qwen2_audio"/],
    [{ model_type: 7 }, /model_type: found 7/],
  ])("%j is refused", (changes, message) => {
    expect(() => parse(changes)).toThrow(message);
  });
});
