/**
 * @file Keys of a GGUF file → ModelConfig and config.json, and what is refused. The files hold tiny models with changed keys.
 */

import { describe, expect, it } from "vitest";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import type { TinyFamily } from "../../support/tiny-families.ts";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import { shortestDecimal } from "../../../src/checkpoint/gguf/fields.ts";
import { parseHfConfig } from "../../../src/checkpoint/config/hf-config.ts";
import type { ErrorCode } from "../../../src/errors.ts";
import { ggufOfTinyModel, type TypedValue, writeGguf, type WrittenGguf, type WrittenTensor } from "../../support/gguf-writer.ts";
import { errorOf, withFile } from "../../support/temporary-gguf.ts";
import { tinyModel, type TinySizes } from "../../support/tiny-models.ts";

/** Keys to set or, with null, to leave out. */
type Changes = Readonly<Record<string, TypedValue | null>>;

interface Options {
  readonly family?: TinyFamily;
  readonly sizes?: Partial<TinySizes>;
  readonly keys?: Changes;
  readonly tensors?: (tensors: WrittenTensor[]) => WrittenTensor[];
}

function ggufWith({ family = "llama", sizes = {}, keys = {}, tensors = (each) => each }: Options): WrittenGguf {
  const written = ggufOfTinyModel(tinyModel(family, sizes));
  const metadata = new Map(written.metadata);
  for (const [key, value] of Object.entries(keys)) {
    if (value === null) metadata.delete(key);
    else metadata.set(key, value);
  }
  return { metadata: [...metadata], tensors: tensors(written.tensors) };
}

function opened(options: Options): Promise<Checkpoint> {
  return withFile(writeGguf(ggufWith(options)), async (path) => {
    const checkpoint = await openGguf(path);
    await checkpoint.close();
    return checkpoint;
  });
}

function f32Tensor(name: string, values: readonly number[]): WrittenTensor {
  return { name, sizes: [values.length], typeId: 0, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

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
  it.each(["llama", "qwen2", "qwen3", "gemma3"] as const)(
    "of a tiny %s is the one that the file was made from",
    async (family) => {
      const { config } = tinyModel(family);
      const { config: read } = await opened({ family });
      const { rope, attentionScale, layerTypes, ...sizes } = read;
      const { rope: _rope, attentionScale: _scale, layerTypes: _types, ...expected } = config;
      expect(sizes).toEqual(expected);
      expect(rope.full_attention).toEqual({ theta: config.rope.full_attention.theta, scaling: null });
      expect(attentionScale).toBe(1 / Math.sqrt(8));
      expect(layerTypes).toEqual(Array.from({ length: 3 }, () => (family === "gemma3" ? "sliding_attention" : "full_attention")));
    },
  );

  it.each(["llama", "qwen2", "qwen3", "gemma3"] as const)("of a tiny %s and its config.json say the same", async (family) => {
    const { config, configJson } = await opened({ family });
    expect(parseHfConfig(configJson, "config.json")).toEqual(config);
  });

  it("has what transformers needs", async () => {
    const { configJson, generationConfigJson } = await opened({ family: "gemma3", sizes: { numHiddenLayers: 7 } });
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

  it("takes sizes per layer that are all the same, and head sizes out of the hidden size", async () => {
    const { config } = await opened({
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

  it("takes llama.cpp's defaults for absent keys", async () => {
    const { config } = await opened({
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

  it("takes every token that ends a turn", async () => {
    const { config, configJson } = await opened({
      keys: { "tokenizer.ggml.eot_token_id": ["uint32", 5], "tokenizer.ggml.eom_token_id": ["uint32", 2] },
    });
    expect(config.eosTokenIds).toEqual([2, 5]);
    expect(configJson["eos_token_id"]).toEqual([2, 5]);
  });

  it("leaves out a padding token that the vocabulary does not have", async () => {
    const padding = async (id: number): Promise<unknown> =>
      (await opened({ keys: { "tokenizer.ggml.padding_token_id": ["uint32", id] } })).configJson["pad_token_id"];
    expect([await padding(47), await padding(48)]).toEqual([47, null]);
  });

  it("ties the head where the file has none, and keeps it where it has one", async () => {
    const untied = await opened({});
    expect(untied.config.tieWordEmbeddings).toBe(false);
    expect(untied.tensors.has("lm_head.weight")).toBe(true);
    const tied = await opened({ tensors: (tensors) => tensors.filter(({ name }) => name !== "output.weight") });
    expect(tied.config.tieWordEmbeddings).toBe(true);
    expect(tied.configJson["tie_word_embeddings"]).toBe(true);
  });

  it("has Gemma's period and local rotation where the file says them, and linear scaling in full layers alone", async () => {
    const { config } = await opened({
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
    const { config } = await opened({ family: "gemma3", sizes: { numHiddenLayers: 62, hiddenSize: 42 } });
    expect(config.attentionScale).toBe(1 / Math.sqrt(42 / 6));
  });

  it.each([8, 32])("finds llama3's parameters in rope_freqs of factor %i", async (factor) => {
    const factors = llama3Factors(factor, 500_000, 64);
    const { config, configJson, tensors } = await opened({
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

  it("gives factors of no published formula a rope type that no runtime loads", async () => {
    const { config, configJson } = await opened({ tensors: (each) => [...each, f32Tensor("rope_freqs.weight", [1, 2, 3, 4])] });
    expect(config.rope.full_attention.scaling).toEqual({ type: "factors", factors: [1, 2, 3, 4] });
    expect(configJson["rope_scaling"]).toEqual({ rope_type: "gguf_factors", factors: [1, 2, 3, 4] });
  });

  const refused: readonly (readonly [what: string, options: Options, code: ErrorCode, ...message: string[]])[] = [
    ["no architecture", { keys: { "general.architecture": null } }, "GGUF_KEY_MISSING", "general.architecture"],
    ["an unknown architecture", { keys: { "general.architecture": ["string", "mamba"] } }, "UNKNOWN_FAMILY", "mamba", "qwen3"],
    ["an architecture that is no string", { keys: { "general.architecture": ["uint32", 3] } }, "GGUF_KEY_INVALID", "found 3"],
    ["an adapter", { keys: { "general.type": ["string", "adapter"] } }, "GGUF_UNSUPPORTED", "adapter"],
    ["a part of a split model", { keys: { "split.count": ["uint16", 3] } }, "GGUF_SPLIT", "3 parts", "llama-gguf-split --merge"],
    ["no layer count", { keys: { "llama.block_count": null } }, "GGUF_KEY_MISSING", "llama.block_count"],
    ["no norm epsilon", { keys: { "llama.attention.layer_norm_rms_epsilon": null } }, "GGUF_KEY_MISSING", "rms_epsilon"],
    [
      "a size of 0",
      { keys: { "llama.embedding_length": ["uint32", 0] } },
      "GGUF_KEY_INVALID",
      "llama.embedding_length",
      "found 0",
    ],
    ["a size in words", { keys: { "llama.embedding_length": ["string", "30"] } }, "GGUF_KEY_INVALID", '"30"'],
    ["no sizes at all", { keys: { "llama.feed_forward_length": ["array", "int32", []] } }, "GGUF_KEY_INVALID", "an array of 0"],
    ["a billion layers", { keys: { "llama.block_count": ["uint32", 1e9] } }, "CONFIG_INVALID", "num_hidden_layers"],
    ["more layers than tensors", { keys: { "llama.block_count": ["uint32", 4] } }, "TENSOR_MISSING", "model.layers.3."],
    ["fewer layers than tensors", { keys: { "llama.block_count": ["uint32", 2] } }, "TENSOR_UNKNOWN", "model.layers.2."],
    ["another hidden size", { keys: { "llama.embedding_length": ["uint32", 32] } }, "TENSOR_SHAPE", "[48, 32]"],
    [
      "layers of unlike width",
      { keys: { "llama.feed_forward_length": ["array", "int32", [40, 32, 40]] } },
      "GGUF_RAGGED",
      "llama.feed_forward_length",
      "40 and 32",
    ],
    [
      "heads that do not fit",
      { sizes: { headDim: 8 }, keys: { "llama.attention.value_length": ["uint32", 4] } },
      "GGUF_UNSUPPORTED",
      "head size 8",
    ],
    [
      "half the head rotated",
      { keys: { "llama.rope.dimension_count": ["uint32", 4] } },
      "GGUF_UNSUPPORTED",
      "rope.dimension_count",
    ],
    ["experts", { keys: { "llama.expert_count": ["uint32", 8] } }, "GGUF_UNSUPPORTED", "llama.expert_count", "found 8"],
    [
      "soft-capped logits",
      { family: "gemma3", keys: { "gemma3.final_logit_softcapping": ["float32", 30] } },
      "GGUF_UNSUPPORTED",
      "found 30",
    ],
    ["YaRN", { keys: { "llama.rope.scaling.type": ["string", "yarn"] } }, "GGUF_UNSUPPORTED", "yarn"],
    [
      "a window in a family without",
      { keys: { "llama.attention.sliding_window": ["uint32", 64] } },
      "GGUF_UNSUPPORTED",
      "found 64",
    ],
    [
      "layers that slide without a period",
      { family: "gemma3", keys: { "gemma3.attention.sliding_window_pattern": ["array", "bool", [false, true, true]] } },
      "GGUF_UNSUPPORTED",
      "sliding_window_pattern",
    ],
    [
      "a token past the vocabulary",
      { keys: { "tokenizer.ggml.eos_token_id": ["uint32", 48] } },
      "GGUF_KEY_INVALID",
      "eos_token_id",
      "48",
    ],
    [
      "no embedding",
      { tensors: (each) => each.filter(({ name }) => name !== "token_embd.weight") },
      "TENSOR_MISSING",
      "token_embd.weight",
    ],
    [
      "a missing tensor",
      { tensors: (each) => each.filter(({ name }) => name !== "blk.1.ffn_up.weight") },
      "TENSOR_MISSING",
      "layers.1.mlp.up_proj",
    ],
    ["an unknown tensor", { tensors: (each) => [...each, f32Tensor("blk.0.ssm_a", [1])] }, "TENSOR_UNKNOWN", "blk.0.ssm_a"],
    [
      "Hugging Face's name",
      { tensors: (each) => [...each, f32Tensor("model.norm.weight", [1])] },
      "TENSOR_UNKNOWN",
      "model.norm.weight",
    ],
    [
      "a norm of another family",
      { tensors: (each) => [...each, f32Tensor("blk.0.post_ffw_norm.weight", [1])] },
      "TENSOR_UNKNOWN",
      "post_ffw_norm",
    ],
    [
      "a quantised vector",
      {
        sizes: { hiddenSize: 32 },
        tensors: (each) =>
          each.map((tensor) =>
            tensor.name === "output_norm.weight" ? { ...tensor, typeId: 8, bytes: new Uint8Array(34) } : tensor,
          ),
      },
      "GGUF_TENSOR_TYPE",
      "output_norm.weight",
      "vector of type Q8_0",
    ],
    [
      "factors that are too few",
      { tensors: (each) => [...each, f32Tensor("rope_freqs.weight", [1, 2])] },
      "GGUF_UNSUPPORTED",
      "2 factors",
    ],
    [
      "a factor of 0",
      { tensors: (each) => [...each, f32Tensor("rope_freqs.weight", [1, 1, 1, 0])] },
      "GGUF_UNSUPPORTED",
      "rope_freqs.weight",
    ],
  ];

  it.each(refused.map(([what, options, code, ...parts]) => ({ what, options, code, parts })))(
    "is refused with $what",
    async ({ options, code, parts }) => {
      const error = await errorOf(opened(options));
      expect(error.code).toBe(code);
      for (const part of [...parts, "model.gguf"]) expect(error.message).toContain(part);
    },
  );
});

describe("shortestDecimal", () => {
  it("finds the decimal that was converted", () => {
    expect([1e-6, 1e-5, 1e-12, 10_000, 500_000, 0.1, 8, 1.0000001].map((value) => shortestDecimal(Math.fround(value)))).toEqual([
      1e-6, 1e-5, 1e-12, 10_000, 500_000, 0.1, 8, 1.0000001,
    ]);
  });

  it("leaves alone what is no f32", () => {
    expect(shortestDecimal(0.1)).toBe(0.1);
  });
});
