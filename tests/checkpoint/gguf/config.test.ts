/**
 * @file Keys of a GGUF file → ModelConfig and config.json. The files are of tiny models with changed keys.
 */

import { describe, expect, it } from "vitest";
import { parseHfConfig } from "../../../src/checkpoint/config/hf-config.ts";
import { f32Tensor, openChanged } from "../../support/gguf-changes.ts";
import { tinyModel } from "../../support/tiny-models.ts";

/** llama.cpp's `rope_freqs.weight`, computed as its converter does, with every step in f32. */
function llama3Factors(factor: number, theta: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const frequency = Math.fround(1 / Math.fround(theta ** Math.fround(i / count)));
    const wavelength = Math.fround((2 * Math.PI) / frequency);
    if (wavelength < 8192 / 4) return 1;
    if (wavelength > 8192) return factor;
    const smooth = Math.fround((8192 / wavelength - 1) / 3);
    return Math.fround(1 / Math.fround(Math.fround((1 - smooth) / factor) + smooth));
  });
}

describe("a GGUF file's config", () => {
  it.each(["llama", "qwen2", "qwen3", "gemma3"] as const)("of a tiny %s is the original one", async (family) => {
    const { config } = tinyModel(family);
    const { config: read } = await openChanged({ family });
    const { rope, attentionScale, layerTypes, ...sizes } = read;
    const { rope: _rope, attentionScale: _scale, layerTypes: _types, ...expected } = config;
    expect(sizes).toEqual(expected);
    expect(rope.full_attention).toEqual({ theta: config.rope.full_attention.theta, scaling: null });
    expect(attentionScale).toBe(1 / Math.sqrt(8));
    expect(layerTypes).toEqual(Array.from({ length: 3 }, () => (family === "gemma3" ? "sliding_attention" : "full_attention")));
  });

  it.each(["llama", "qwen2", "qwen3", "gemma3"] as const)(
    "of a tiny %s equals the one that its config.json is parsed to",
    async (family) => {
      const { config, configJson } = await openChanged({ family });
      expect(parseHfConfig(configJson, "config.json")).toEqual(config);
    },
  );

  it("has the keys that transformers needs", async () => {
    const { configJson, generationConfigJson } = await openChanged({ family: "gemma3", sizes: { numHiddenLayers: 7 } });
    expect(configJson).toEqual({
      architectures: ["Gemma3ForCausalLM"],
      model_type: "gemma3_text",
      dtype: "float32",
      vocab_size: 48,
      hidden_size: 30,
      intermediate_size: 40,
      num_hidden_layers: 7,
      num_attention_heads: 6,
      num_key_value_heads: 3,
      head_dim: 8,
      max_position_embeddings: 128,
      rms_norm_eps: 1e-5,
      hidden_activation: "gelu_pytorch_tanh",
      rope_theta: 1_000_000,
      rope_scaling: null,
      rope_local_base_freq: 10_000,
      attention_bias: false,
      sliding_window: 4,
      sliding_window_pattern: 6,
      layer_types: [...Array.from({ length: 5 }, () => "sliding_attention"), "full_attention", "sliding_attention"],
      query_pre_attn_scalar: 8,
      tie_word_embeddings: true,
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: null,
      use_cache: true,
    });
    expect(generationConfigJson).toEqual({ _from_model_config: true, bos_token_id: 1, eos_token_id: 2, pad_token_id: null });
  });

  it("accepts sizes per layer that are all the same, and derives the head size from the hidden size", async () => {
    const { config } = await openChanged({
      sizes: { hiddenSize: 48 },
      keys: {
        "llama.feed_forward_length": ["array", "int32", [40, 40, 40]],
        "llama.attention.head_count": ["array", "uint32", [6, 6, 6]],
        "llama.attention.key_length": null,
        "llama.attention.value_length": null,
        "llama.rope.dimension_count": ["uint32", 8],
      },
    });
    expect(config).toMatchObject({ layerSizes: [{ intermediateSize: 40, numAttentionHeads: 6 }, {}, {}], headDim: 8 });
  });

  it("has llama.cpp's defaults for absent keys", async () => {
    const { config } = await openChanged({
      sizes: { numKeyValueHeads: 6 },
      keys: {
        "llama.attention.head_count_kv": null,
        "llama.rope.freq_base": null,
        "tokenizer.ggml.bos_token_id": null,
        "tokenizer.ggml.eos_token_id": null,
      },
    });
    expect(config).toMatchObject({ layerSizes: [{ numKeyValueHeads: 6 }, {}, {}], bosTokenId: null, eosTokenIds: [] });
    expect(config.rope.full_attention.theta).toBe(10_000);
  });

  it("has every token that ends a turn", async () => {
    const { config, configJson } = await openChanged({
      keys: { "tokenizer.ggml.eot_token_id": ["uint32", 5], "tokenizer.ggml.eom_token_id": ["uint32", 2] },
    });
    expect(config.eosTokenIds).toEqual([2, 5]);
    expect(configJson["eos_token_id"]).toEqual([2, 5]);
  });

  it("omits a padding token that the vocabulary does not have", async () => {
    const padding = async (id: number): Promise<unknown> =>
      (await openChanged({ keys: { "tokenizer.ggml.padding_token_id": ["uint32", id] } })).configJson["pad_token_id"];
    expect([await padding(47), await padding(48)]).toEqual([47, null]);
  });

  it("ties the head if the file has none, and keeps it if the file has one", async () => {
    const untied = await openChanged({});
    expect(untied.config.tieWordEmbeddings).toBe(false);
    expect(untied.tensors.has("lm_head.weight")).toBe(true);
    const tied = await openChanged({ tensors: (tensors) => tensors.filter(({ name }) => name !== "output.weight") });
    expect(tied.config.tieWordEmbeddings).toBe(true);
    expect(tied.configJson["tie_word_embeddings"]).toBe(true);
  });

  it("has the file's period and local rotation for Gemma, and linear scaling only in layers with full attention", async () => {
    const { config } = await openChanged({
      family: "gemma3",
      keys: {
        "gemma3.attention.sliding_window_pattern": ["array", "bool", [true, false, true]],
        "gemma3.rope.freq_base_swa": ["float32", 20_000],
        "gemma3.rope.scaling.type": ["string", "linear"],
        "gemma3.rope.scaling.factor": ["float32", 8],
      },
    });
    expect(config.layerTypes).toEqual(["sliding_attention", "full_attention", "sliding_attention"]);
    expect(config.rope).toEqual({
      full_attention: { theta: 1_000_000, scaling: { type: "linear", factor: 8 } },
      sliding_attention: { theta: 20_000, scaling: null },
    });
  });

  it("scales the queries of Gemma 3 27B, of 62 layers, by its hidden size per head", async () => {
    const { config } = await openChanged({ family: "gemma3", sizes: { numHiddenLayers: 62, hiddenSize: 42 } });
    expect(config.attentionScale).toBe(1 / Math.sqrt(42 / 6));
  });

  it.each([8, 32])("finds llama3's parameters in rope_freqs of factor %i", async (factor) => {
    const factors = llama3Factors(factor, 500_000, 64);
    const { config, configJson, tensors } = await openChanged({
      sizes: { headDim: 128 },
      keys: { "llama.rope.freq_base": ["float32", 500_000] },
      tensors: (each) => [...each, f32Tensor("rope_freqs.weight", factors)],
    });
    const stored = [...Float32Array.from(factors)];
    expect(config.rope.full_attention).toEqual({ theta: 500_000, scaling: { type: "factors", factors: stored } });
    expect(config.rope.sliding_attention).toEqual(config.rope.full_attention);
    expect(configJson["rope_scaling"]).toEqual({
      rope_type: "llama3",
      factor,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    });
    expect(tensors.has("rope_freqs.weight")).toBe(false);
  });

  it("gives factors that follow no published formula a rope type that no runtime loads", async () => {
    const { config, configJson } = await openChanged({
      tensors: (each) => [...each, f32Tensor("rope_freqs.weight", [1, 2, 3, 4])],
    });
    expect(config.rope.full_attention.scaling).toEqual({ type: "factors", factors: [1, 2, 3, 4] });
    expect(configJson["rope_scaling"]).toEqual({ rope_type: "gguf_factors", factors: [1, 2, 3, 4] });
  });
});
