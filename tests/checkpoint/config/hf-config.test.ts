/**
 * @file config.json → ModelConfig and parameter counts against transformers (tests/reference/make_config_goldens.py),
 * and invalid configs of every kind.
 */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { blockSizes, blockTensorShape, modelTensorShape } from "../../../src/checkpoint/check-tensors.ts";
import type { BlockRole } from "../../../src/families/roles.ts";
import { blockTensorName, familyNamed, modelTensorName } from "../../../src/families/index.ts";
import { configDType, hasAttentionBias, parseHfConfig } from "../../../src/checkpoint/config/hf-config.ts";
import type { ModelConfig } from "../../../src/checkpoint/config/model-config.ts";
import { countParameters } from "../../../src/checkpoint/parameters.ts";
import { CusprunError, type ErrorCode } from "../../../src/errors.ts";

interface RopeGolden {
  readonly rope_type: string;
  readonly rope_theta: number;
  readonly factor?: number;
}

interface ConfigGolden {
  readonly parameters: number;
  readonly tensors: Readonly<Record<string, readonly number[]>>;
  readonly layer_types: readonly string[] | null;
  readonly sliding_window: number | null;
  readonly head_dim: number;
  readonly num_key_value_heads: number;
  readonly attention_scale: number;
  readonly embedding_scale: number;
  readonly tie_word_embeddings: boolean;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_parameters: RopeGolden | { readonly full_attention: RopeGolden; readonly sliding_attention: RopeGolden };
  readonly bos_token_id: number | null;
  readonly eos_token_id: number | readonly number[] | null;
  readonly as_written: Readonly<Record<string, unknown>>;
}

const fixtures = new URL("../../fixtures/", import.meta.url);
const goldens = (
  JSON.parse(readFileSync(new URL("config-goldens.json", fixtures), "utf8")) as {
    configs: Readonly<Record<string, ConfigGolden>>;
  }
).configs;

function readConfig(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(`configs/${name}.json`, fixtures), "utf8")) as Record<string, unknown>;
}

function biasRoles(json: Readonly<Record<string, unknown>>, config: ModelConfig): readonly BlockRole[] {
  return hasAttentionBias(json, "config.json") ? familyNamed(config.family).configRules.attentionBiasRoles : [];
}

/** Sliding layers as in transformers: Mistral has no layer_types, all its layers slide. */
function goldenLayerTypes(golden: ConfigGolden, config: ModelConfig): readonly string[] {
  const type = golden.sliding_window === null ? "full_attention" : "sliding_attention";
  return golden.layer_types ?? Array.from({ length: config.numHiddenLayers }, () => type);
}

describe.each(Object.entries(goldens))("%s as transformers", (name, golden) => {
  const json = readConfig(name);
  const config = parseHfConfig(json, "config.json");

  test("parameters", () => {
    expect(countParameters(config, { optionalRoles: biasRoles(json, config) }).total).toBe(golden.parameters);
  });

  test("names and shapes of the first layer's and the model's tensors", () => {
    const family = familyNamed(config.family);
    const roles = [...family.requiredRoles, ...biasRoles(json, config)];
    const ours = new Map(roles.map((role) => [blockTensorName(family, 0, role), blockTensorShape(role, blockSizes(config, 0))]));
    for (const role of ["embedding", "finalNorm", "outputHead"] as const) {
      if (role === "outputHead" && config.tieWordEmbeddings) continue;
      ours.set(modelTensorName(family, role), modelTensorShape(role, config));
    }
    expect(Object.fromEntries(ours)).toEqual(golden.tensors);
  });

  test("sizes, positions and scales", () => {
    const rope = golden.rope_parameters;
    const [full, sliding] = "full_attention" in rope ? [rope.full_attention, rope.sliding_attention] : [rope, rope];
    const slides = goldenLayerTypes(golden, config).includes("sliding_attention");
    const { bos_token_id: bos, eos_token_id: eos } = golden;
    expect({
      ...config,
      // Compared in f32, which both compute with: in f64, Python's power and our square root may differ in the last
      // digit.
      attentionScale: Math.fround(config.attentionScale),
      ropeTypes: [config.rope.full_attention, config.rope.sliding_attention].map((one) => one.scaling?.type ?? "default"),
      thetas: [config.rope.full_attention.theta, config.rope.sliding_attention.theta],
    }).toMatchObject({
      headDim: golden.head_dim,
      layerSizes: Array.from({ length: config.numHiddenLayers }, () => ({ numKeyValueHeads: golden.num_key_value_heads })),
      attentionScale: Math.fround(golden.attention_scale),
      embeddingScale: golden.embedding_scale,
      tieWordEmbeddings: golden.tie_word_embeddings,
      maxPositionEmbeddings: golden.max_position_embeddings,
      rmsNormEps: golden.rms_norm_eps,
      layerTypes: goldenLayerTypes(golden, config),
      slidingWindow: slides ? golden.sliding_window : null,
      bosTokenId: bos,
      eosTokenIds: eos === null ? [] : typeof eos === "number" ? [eos] : eos,
      ropeTypes: [full.rope_type, sliding.rope_type],
      thetas: [full.rope_theta, sliding.rope_theta],
    });
  });

  test("reads the same when written by transformers 5", () => {
    expect(parseHfConfig(golden.as_written, "config.json")).toEqual(config);
  });
});

describe("published models", () => {
  test.each([
    ["llama-2-13b", 13_015_864_320],
    ["llama-3-8b", 8_030_261_248],
    ["llama-3-70b", 70_553_706_496],
    ["mistral-nemo-12b", 12_247_782_400],
    ["qwen2.5-0.5b", 494_032_768],
    ["qwen3-0.6b", 596_049_920],
    ["gemma-3-270m", 268_098_176],
    ["gemma-3-1b", 999_885_952],
  ])("%s has %i parameters", (name, parameters) => {
    expect(countParameters(parseHfConfig(readConfig(name), name)).total).toBe(parameters);
  });

  test("parts add up", () => {
    const counts = countParameters(parseHfConfig(readConfig("llama-3-8b"), "config.json"));
    expect(counts).toMatchObject({ embedding: 525_336_576, head: 525_336_576, finalNorm: 4096 });
    expect(counts.perLayer).toHaveLength(32);
    for (const layer of counts.perLayer)
      expect(layer).toEqual({ attention: 41_943_040, ffn: 176_160_768, norms: 8192, total: 218_112_000 });
    expect(counts.blocks + counts.embedding + counts.head + counts.finalNorm).toBe(counts.total);
  });

  test("counts a stored head even if the config ties it", () => {
    const config = parseHfConfig(readConfig("qwen2.5-0.5b"), "config.json");
    expect(countParameters(config, { separateHead: true }).head).toBe(151_936 * 896);
  });

  test("Llama 3's scaling", () => {
    expect(parseHfConfig(readConfig("llama-3.2-1b"), "config.json").rope.full_attention).toEqual({
      theta: 500_000,
      scaling: { type: "llama3", factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192 },
    });
  });

  test("dtype under either key", () => {
    expect(configDType({ torch_dtype: "float16" })).toBe("F16");
    expect(configDType({ dtype: "bfloat16", torch_dtype: "float32" })).toBe("BF16");
    expect(configDType({})).toBeNull();
  });
});

describe("rejects", () => {
  const base = { llama: readConfig("llama-3-8b"), qwen2: readConfig("sliding-qwen2"), gemma3: readConfig("gemma-3-1b") };
  const L = Array.from({ length: 32 }, () => "full_attention");

  const cases: readonly [ErrorCode, keyof typeof base, Readonly<Record<string, unknown>>, RegExp][] = [
    [
      "UNKNOWN_FAMILY",
      "llama",
      { model_type: "mamba" },
      /model_type: found "mamba", expected one of llama, mistral, qwen2, qwen3, gemma3_text/,
    ],
    ["CONFIG_INVALID", "llama", { model_type: 3 }, /model_type: found 3, expected a string/],
    ["CONFIG_INVALID", "llama", { hidden_size: null }, /hidden_size: found nothing, expected a positive integer/],
    ["CONFIG_INVALID", "llama", { hidden_size: 4096.5 }, /hidden_size: found 4096.5/],
    ["CONFIG_INVALID", "llama", { hidden_size: -4096 }, /hidden_size: found -4096/],
    ["CONFIG_INVALID", "llama", { hidden_size: "4096" }, /hidden_size: found "4096"/],
    ["CONFIG_INVALID", "llama", { hidden_size: 1e18 }, /hidden_size/],
    [
      "CONFIG_INVALID",
      "llama",
      { vocab_size: 2 ** 40 },
      /vocab_size: found 1099511627776, expected an integer from 1 to 4194304/,
    ],
    [
      "CONFIG_INVALID",
      "llama",
      { num_hidden_layers: 1e9 },
      /num_hidden_layers: found 1000000000, expected an integer from 1 to 1024/,
    ],
    [
      "CONFIG_INVALID",
      "llama",
      { num_attention_heads: 31 },
      /num_attention_heads: found 31, expected a divisor of hidden_size 4096/,
    ],
    ["CONFIG_INVALID", "llama", { num_key_value_heads: 5 }, /num_key_value_heads: found 5 with 32 query heads/],
    ["CONFIG_INVALID", "llama", { head_dim: 127 }, /head_dim: found 127, expected an even number/],
    ["CONFIG_INVALID", "llama", { rms_norm_eps: 0 }, /rms_norm_eps: found 0, expected a positive number/],
    ["CONFIG_INVALID", "llama", { rms_norm_eps: 1 }, /rms_norm_eps: found 1, expected a number between 0 and 1/],
    ["CONFIG_INVALID", "llama", { tie_word_embeddings: "no" }, /tie_word_embeddings: found "no", expected true or false/],
    ["CONFIG_INVALID", "llama", { eos_token_id: [1, -2] }, /eos_token_id: found \[1,-2\]/],
    ["CONFIG_INVALID", "llama", { rope_theta: 0 }, /rope_theta: found 0/],
    ["CONFIG_INVALID", "llama", { rope_scaling: 8 }, /rope_scaling: found 8, expected an object/],
    ["CONFIG_INVALID", "llama", { rope_scaling: { rope_type: "linear" } }, /rope_scaling: factor: found nothing/],
    [
      "CONFIG_INVALID",
      "llama",
      { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 1 } },
      /high_freq_factor: found 1/,
    ],
    ["CONFIG_INVALID", "llama", { layer_types: ["full_attention"] }, /layer_types: .*one entry for each of the 32 layers/],
    ["CONFIG_UNSUPPORTED", "llama", { layer_types: L.with(3, "linear_attention") }, /layer_types: found "linear_attention"/],
    [
      "CONFIG_UNSUPPORTED",
      "llama",
      { layer_types: L.with(3, "sliding_attention") },
      /layer_types: .*full_attention in every layer/,
    ],
    [
      "CONFIG_UNSUPPORTED",
      "llama",
      { rope_scaling: { type: "yarn", factor: 4 } },
      /rope_scaling: type: found "yarn", expected default, linear or llama3/,
    ],
    ["CONFIG_UNSUPPORTED", "llama", { rope_parameters: { rope_type: "dynamic", factor: 4 } }, /rope_type: found "dynamic"/],
    ["CONFIG_UNSUPPORTED", "llama", { partial_rotary_factor: 0.5 }, /partial_rotary_factor: found 0.5, expected 1 or nothing/],
    ["CONFIG_UNSUPPORTED", "llama", { rope_parameters: { partial_rotary_factor: 0.25 } }, /partial_rotary_factor: found 0.25/],
    ["CONFIG_UNSUPPORTED", "qwen2", { rope_scaling: { type: "default", mrope_section: [16, 24, 24] } }, /mrope_section/],
    ["CONFIG_UNSUPPORTED", "llama", { hidden_act: "relu" }, /hidden_act: found "relu", expected silu or gelu_pytorch_tanh/],
    ["CONFIG_UNSUPPORTED", "llama", { mlp_bias: true }, /mlp_bias: found true, expected false or nothing/],
    ["CONFIG_UNSUPPORTED", "llama", { quantization_config: { bits: 4 } }, /quantization_config.*Choose the unquantised model/],
    ["CONFIG_UNSUPPORTED", "gemma3", { attn_logit_softcapping: 50 }, /attn_logit_softcapping: found 50/],
    ["CONFIG_UNSUPPORTED", "gemma3", { final_logit_softcapping: 30 }, /final_logit_softcapping: found 30/],
    ["CONFIG_UNSUPPORTED", "gemma3", { use_bidirectional_attention: true }, /use_bidirectional_attention: found true/],
    [
      "CONFIG_INVALID",
      "gemma3",
      { sliding_window: null },
      /sliding_window: found nothing, expected a positive integer, since some layers use sliding attention/,
    ],
    ["CONFIG_INVALID", "gemma3", { sliding_window_pattern: 0 }, /sliding_window_pattern: found 0/],
    [
      "CONFIG_INVALID",
      "gemma3",
      { rope_parameters: { rope_theta: 5 } },
      /rope_parameters: .*the keys full_attention and sliding_attention/,
    ],
    [
      "CONFIG_INVALID",
      "gemma3",
      { rope_parameters: { full_attention: {} }, rope_scaling: { type: "linear", factor: 8 } },
      /not both/,
    ],
    [
      "CONFIG_INVALID",
      "qwen2",
      { use_sliding_window: false, sliding_window: null, layer_types: Array(7).fill("sliding_attention") },
      /sliding_window: found nothing/,
    ],
  ];

  test.each(cases)("%s: %s with %j", (code, family, changes, message) => {
    const parse = (): unknown => parseHfConfig({ ...base[family], ...changes }, "models/x/config.json");
    expect(parse).toThrow(CusprunError);
    expect(parse).toThrow(message);
    expect(parse).toThrow(/^models\/x\/config\.json/);
    try {
      parse();
    } catch (error) {
      expect((error as CusprunError).code).toBe(code);
    }
  });
});
