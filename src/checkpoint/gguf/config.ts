/**
 * @file A GGUF file's keys → a complete Hugging Face config.json → ModelConfig, by the one parser of such files.
 * Source: `set_gguf_parameters` of llama.cpp's `convert_hf_to_gguf.py`, inverted; defaults of absent keys: llama.cpp's
 * `llama_model::load_hparams`. RoPE is written with the keys (`rope_theta`, `rope_scaling`) that transformers 4 and 5
 * both read.
 */

import { CusprunError } from "../../errors.ts";
import type { FloatDType } from "../../tensor.ts";
import type { JsonObject } from "../../json.ts";
import type { LlamaCppArchitecture } from "../../families/llama-cpp.ts";
import type { BlockRole } from "../../families/roles.ts";
import type { Family } from "../../families/family.ts";
import { familiesOfGgufArchitecture, modelClass } from "../../families/index.ts";
import { CONVERT_AGAIN, GgufFields, isArray } from "./fields.ts";
import type { GgufTensor } from "./layout.ts";
import { GGUF_BLOCK_ROLES, GGUF_MODEL_TENSOR_NAMES, ggufBlockTensorName } from "./names.ts";
import { factorsScaling, ropeScalingFromFactors, ropeScalingFromKeys } from "./rope.ts";
import { type GgufSizes, readRaggedSizes, readSizes } from "./sizes.ts";
import type { GgufMetadata } from "./values.ts";
import { raggedConfigKeys } from "../config/hf-ragged.ts";
import { parseHfConfig } from "../config/hf-config.ts";
import type { ModelConfig } from "../config/model-config.ts";

/** A GGUF file's configuration in cusprun's and in Hugging Face's form. */
export interface GgufConfig {
  readonly family: Family;
  readonly architecture: LlamaCppArchitecture;
  readonly config: ModelConfig;
  readonly configJson: JsonObject;
  readonly generationConfigJson: JsonObject;
}

/**
 * Keys under the architecture's prefix that change the arithmetic, unless they are absent or have the harmless value.
 */
const REFUSED_UNLESS: readonly (readonly [key: string, harmless: number | boolean])[] = [
  ["expert_count", 0],
  ["attn_logit_softcapping", 0],
  ["final_logit_softcapping", 0],
  ["attention.scale", 0],
  ["attention.causal", true],
  ["logit_scale", 0],
  ["embedding_scale", 0],
  ["residual_scale", 0],
];

/** What to do with a file that is not a model, by `general.type`. */
const OTHER_FILES: Readonly<Record<string, string>> = {
  adapter: "Merge it into its base model with llama-export-lora, and pass the merged file",
  imatrix: "Pass the model's GGUF file; cusprun measures importances itself",
  mmproj: "Pass the language model's GGUF file, which is published next to this one",
};

/** llama.cpp's `rope_freq_base` if a file has none. */
const DEFAULT_ROPE_THETA = 10_000;

const HF_DTYPE_NAMES: Readonly<Record<FloatDType, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/**
 * Builds the configuration.
 * @param tensors by GGUF name.
 * @param ropeFactors values of `rope_freqs.weight`; null if the file has no such tensor.
 * @throws CusprunError `UNKNOWN_FAMILY`, `GGUF_KEY_MISSING`, `GGUF_KEY_INVALID`, `GGUF_RAGGED`,
 * `GGUF_UNSUPPORTED`, `TENSOR_MISSING`, and those of `parseHfConfig`.
 */
export function configFromGguf(
  metadata: GgufMetadata,
  tensors: ReadonlyMap<string, GgufTensor>,
  ropeFactors: readonly number[] | null,
  path: string,
): GgufConfig {
  const fields = new GgufFields(metadata, path);
  const name = readArchitecture(fields);
  const candidates = familiesOfGgufArchitecture(name, path);
  const family = candidates.find((candidate) => hasBlockTensors(candidate, tensors)) ?? candidates[0]!;
  const architecture = family.ggufArchitectures.find((candidate) => candidate.name === name)!;
  refuseUnknownArithmetic(fields, name);

  const ragged = readRaggedSizes(fields, architecture);
  const sizes = readSizes(fields, name, tensors, ragged);
  const tokens = readTokenIds(fields, sizes.vocab_size);
  const scaling = ropeScalingFromKeys(fields, name);
  const json: JsonObject = {
    architectures: [modelClass(family)],
    model_type: family.modelTypes[0],
    dtype: HF_DTYPE_NAMES[commonDType(tensors)],
    ...sizes,
    [family.configRules.activationKey]: family.configRules.defaultActivation,
    rope_theta: fields.optionalNumber(`${name}.rope.freq_base`) ?? DEFAULT_ROPE_THETA,
    rope_scaling: scaling,
    ...familyJson(fields, architecture, family, sizes, tensors),
    tie_word_embeddings: !tensors.has(GGUF_MODEL_TENSOR_NAMES.outputHead),
    ...tokens,
    use_cache: true,
    ...(ragged !== null && raggedConfigKeys(family.name, sizes.head_dim, ragged)),
  };
  const made = withRopeFactors(parseHfConfig(json, path), json, ropeFactors, fields);
  return { family, architecture, ...made, generationConfigJson: { _from_model_config: true, ...tokens } };
}

/**
 * Whether the first block has exactly a family's tensors: all required ones, all or none of the optional ones, no
 * others.
 */
function hasBlockTensors({ requiredRoles, optionalRoles }: Family, tensors: ReadonlyMap<string, GgufTensor>): boolean {
  const present = GGUF_BLOCK_ROLES.filter((role) => tensors.has(ggufBlockTensorName(0, role)));
  const has = (role: BlockRole): boolean => present.includes(role);
  const known = present.every((role) => requiredRoles.includes(role) || optionalRoles.includes(role));
  return known && requiredRoles.every(has) && (optionalRoles.every(has) || !optionalRoles.some(has));
}

function readArchitecture(fields: GgufFields): string {
  const type = fields.optionalString("general.type") ?? "model";
  if (type !== "model") throw fields.unsupported("general.type", "a model", OTHER_FILES[type]);
  const architecture = fields.optionalString("general.architecture");
  if (architecture !== undefined) return architecture;
  throw fields.error(
    "GGUF_KEY_MISSING",
    "general.architecture",
    "no such key",
    "a model's architecture",
    "Choose a GGUF file of a language model",
  );
}

function refuseUnknownArithmetic(fields: GgufFields, architecture: string): void {
  for (const [name, harmless] of REFUSED_UNLESS) {
    const key = `${architecture}.${name}`;
    if (fields.has(key) && fields.value(key) !== harmless) throw fields.unsupported(key, `${harmless}, or no such key`);
  }
}

/** Keys that only some families' config.json has, by the family's rules. */
function familyJson(
  fields: GgufFields,
  architecture: LlamaCppArchitecture,
  family: Family,
  sizes: GgufSizes,
  tensors: ReadonlyMap<string, GgufTensor>,
): JsonObject {
  const rules = family.configRules;
  const { kind } = rules.sliding;
  const windowKey = `${architecture.name}.attention.sliding_window`;
  const window = fields.optionalInteger(windowKey) ?? 0;
  if (kind !== "pattern" && window !== 0 && window < sizes.max_position_embeddings) {
    throw fields.unsupported(windowKey, `no sliding window, as in a ${family.name} model`);
  }
  return {
    ...(rules.attentionBiasRoles.length > 0 && { attention_bias: tensors.has(ggufBlockTensorName(0, "qBias")) }),
    ...(kind === "upper" && { use_sliding_window: false, sliding_window: null }),
    ...(kind === "pattern" && {
      sliding_window: fields.uniformInteger(windowKey),
      sliding_window_pattern: readSlidingPeriod(fields, architecture),
    }),
    ...(rules.ropePerLayerType && {
      rope_local_base_freq: fields.optionalNumber(`${architecture.name}.rope.freq_base_swa`) ?? rules.defaultRopeTheta.sliding,
    }),
    ...(rules.defaultQueryPreAttnScalar !== null && { query_pre_attn_scalar: queryScalar(sizes, architecture) }),
  };
}

/** The period n: every n-th layer has full attention. */
function readSlidingPeriod(fields: GgufFields, { name, sliding }: LlamaCppArchitecture): number {
  const key = `${name}.attention.sliding_window_pattern`;
  const value = fields.value(key);
  if (value === undefined || !isArray(value)) {
    const period = fields.optionalUniformInteger(key) ?? sliding?.defaultPeriod;
    if (period !== undefined) return period;
    throw fields.error("GGUF_KEY_MISSING", key, "no such key", "a positive integer", CONVERT_AGAIN);
  }
  // One boolean per layer: true if it has a window. The first false ends the first period.
  const period = Array.from<unknown>(value).indexOf(false) + 1;
  const isPeriodic = Array.from<unknown>(value).every((slides, layer) => slides === ((layer + 1) % period !== 0));
  if (period === 0 || !isPeriodic) throw fields.unsupported(key, "full attention in every n-th layer");
  return period;
}

function queryScalar(sizes: GgufSizes, { hiddenScaleLayers }: LlamaCppArchitecture): number {
  const isByHidden = sizes.num_hidden_layers === hiddenScaleLayers;
  return isByHidden ? sizes.hidden_size / sizes.num_attention_heads : sizes.head_dim;
}

/**
 * Token ids under config.json's names. An absent one is null, because an absent key would mean the family's default
 * there.
 */
function readTokenIds(fields: GgufFields, vocabularySize: number): JsonObject {
  const read = (name: string): number | null => {
    const id = fields.optionalInteger(`tokenizer.ggml.${name}_token_id`) ?? null;
    if (id === null || id < vocabularySize) return id;
    throw fields.invalid(`tokenizer.ggml.${name}_token_id`, `an id below the vocabulary size ${vocabularySize}`);
  };
  // Chat models have separate tokens for the end of a turn and for the end of a message to a tool.
  const ends = new Set([read("eos"), read("eot"), read("eom")].filter((id) => id !== null));
  const eos = ends.size > 1 ? [...ends] : ([...ends][0] ?? null);
  // Padding is never computed, and some files name a padding token that is not in their vocabulary.
  const padding = fields.optionalInteger("tokenizer.ggml.padding_token_id") ?? vocabularySize;
  return { bos_token_id: read("bos"), eos_token_id: eos, pad_token_id: padding < vocabularySize ? padding : null };
}

/**
 * The dtype of all matrices if they share one of Hugging Face's; otherwise F32, which holds every dequantised value.
 */
function commonDType(tensors: ReadonlyMap<string, GgufTensor>): FloatDType {
  const dtypes = new Set([...tensors.values()].filter(({ shape }) => shape.length > 1).map(({ dtype }) => dtype));
  const [only] = dtypes;
  return dtypes.size === 1 && (only === "F16" || only === "BF16") ? only : "F32";
}

/**
 * Adds the factors of `rope_freqs.weight`. config.json has the parameters of the formula that they follow, if there is
 * one.
 */
function withRopeFactors(
  config: ModelConfig,
  json: JsonObject,
  factors: readonly number[] | null,
  fields: GgufFields,
): Pick<GgufConfig, "config" | "configJson"> {
  const layerTypes = config.slidingWindow === null ? {} : { layer_types: config.layerTypes };
  if (factors === null) return { config, configJson: { ...json, ...layerTypes } };
  const rope = config.rope.full_attention;
  if (factors.length !== config.headDim / 2 || rope.scaling !== null) {
    throw new CusprunError("GGUF_UNSUPPORTED", {
      where: `${fields.path}: tensor 'rope_freqs.weight'`,
      found: `${factors.length} factors${rope.scaling === null ? "" : " in addition to rope.scaling keys"}`,
      expected: `${config.headDim / 2} factors, half of the head size, and no other scaling`,
      remedy: CONVERT_AGAIN,
    });
  }
  const scaled = { ...rope, scaling: factorsScaling(factors) };
  return {
    config: { ...config, rope: { full_attention: scaled, sliding_attention: scaled } },
    configJson: { ...json, ...layerTypes, rope_scaling: ropeScalingFromFactors(factors, rope.theta) },
  };
}
