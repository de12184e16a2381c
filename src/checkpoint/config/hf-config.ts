/**
 * @file Hugging Face's config.json → `ModelConfig`. Absent keys have the defaults of transformers 5.23 (family table),
 * every number is checked, and configs that cusprun would compute wrongly are rejected.
 */

import type { FloatDType } from "../../tensor.ts";
import { ConfigFields } from "./config-fields.ts";
import { isJsonObject, type JsonObject } from "../../json.ts";
import { familyOfModelType, isRaggedModelType } from "../../families/index.ts";
import type { FamilyConfigRules } from "../../families/family.ts";
import { parseLayerWidths } from "./hf-ragged.ts";
import { parseRope } from "./hf-rope.ts";
import { checkNeededTokenIds } from "./token-ids.ts";
import { checkModelConfig, MAX_SIZES } from "./model-config-check.ts";
import type { LayerSizes, LayerType, ModelConfig } from "./model-config.ts";

const ACTIVATIONS = ["silu", "gelu_pytorch_tanh"] as const;

/** Keys that change the computation unless they are absent, null or have the harmless value. */
const REFUSED_UNLESS: readonly { readonly key: string; readonly harmless: false | undefined; readonly remedy?: string }[] = [
  { key: "mlp_bias", harmless: false },
  { key: "attn_logit_softcapping", harmless: undefined },
  { key: "final_logit_softcapping", harmless: undefined },
  { key: "use_bidirectional_attention", harmless: false },
  { key: "transformers_weights", harmless: undefined, remedy: "Remove the key and name the weights model.safetensors" },
];

/**
 * Reads the config.json of a text model; `parseModelConfig` also reads those of models of several parts.
 * @param json the parsed file.
 * @param where the file, for error messages.
 * @throws CusprunError `UNKNOWN_FAMILY`, `CONFIG_INVALID`, `CONFIG_UNSUPPORTED`.
 */
export function parseHfConfig(json: JsonObject, where: string): ModelConfig {
  const fields = new ConfigFields(json, where);
  const family = familyOfModelType(fields.string("model_type"), where);
  refuseQuantized(fields);
  refuseUnknownArithmetic(fields);

  const rules = family.configRules;
  const hiddenSize = fields.positiveInteger("hidden_size");
  const numHiddenLayers = boundedLayers(fields);
  const numAttentionHeads = fields.positiveInteger("num_attention_heads");
  const headDim = fields.positiveInteger(
    "head_dim",
    rules.defaultHeadDim ?? derivedHeadDim(fields, hiddenSize, numAttentionHeads),
  );
  const queryScalar = rules.defaultQueryPreAttnScalar;
  const layerTypes = parseLayerTypes(fields, rules, numHiddenLayers);

  checkNeededTokenIds(json, fields.positiveInteger("vocab_size"), where);

  const config: ModelConfig = {
    family: family.name,
    hiddenSize,
    numHiddenLayers,
    layerSizes: parseLayerSizes(fields, rules, numHiddenLayers),
    headDim,
    vocabSize: fields.positiveInteger("vocab_size"),
    maxPositionEmbeddings: fields.positiveInteger("max_position_embeddings", rules.defaultMaxPositionEmbeddings),
    rmsNormEps: fields.positiveNumber("rms_norm_eps", 1e-6),
    hiddenActivation: parseActivation(fields, rules),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", rules.defaultTieWordEmbeddings),
    attentionScale: 1 / Math.sqrt(queryScalar === null ? headDim : fields.positiveNumber("query_pre_attn_scalar", queryScalar)),
    embeddingScale: rules.scalesEmbedding ? Math.sqrt(hiddenSize) : 1,
    rope: parseRope(fields, rules),
    layerTypes,
    slidingWindow: layerTypes.includes("sliding_attention") ? parseSlidingWindow(fields, rules) : null,
    bosTokenId: fields.tokenIds("bos_token_id", rules.defaultBosTokenId)[0] ?? null,
    eosTokenIds: fields.tokenIds("eos_token_id", rules.defaultEosTokenId),
  };
  return checkModelConfig(config, where);
}

/**
 * Whether a config.json declares the optional attention biases of its family.
 * @throws CusprunError `CONFIG_INVALID`, `UNKNOWN_FAMILY`.
 */
export function hasAttentionBias(json: JsonObject, where: string): boolean {
  const fields = new ConfigFields(json, where);
  const rules = familyOfModelType(fields.string("model_type"), where).configRules;
  return rules.attentionBiasRoles.length > 0 && fields.boolean("attention_bias", false);
}

/** The dtype named in a config.json (`dtype`, or `torch_dtype` before transformers 5), or null if absent or unknown. */
export function configDType(json: JsonObject): FloatDType | null {
  switch (json["dtype"] ?? json["torch_dtype"]) {
    case "float32":
      return "F32";
    case "float16":
      return "F16";
    case "bfloat16":
      return "BF16";
    default:
      return null;
  }
}

/** Keys of quantised weights: transformers' own, MLX's and the older one of compressed-tensors. */
const QUANTIZATION_KEYS = ["quantization_config", "quantization", "compression_config"];

function refuseQuantized(fields: ConfigFields): void {
  for (const key of QUANTIZATION_KEYS) {
    const value = fields.value(key);
    if (value === undefined) continue;
    const method = isJsonObject(value) && typeof value["quant_method"] === "string" ? value["quant_method"] : null;
    const found = method === null ? value : `quantised with ${method}`;
    throw fields.unsupported(key, found, "an unquantised model", "Choose the unquantised model, or its GGUF file");
  }
}

function refuseUnknownArithmetic(fields: ConfigFields): void {
  for (const { key, harmless, remedy } of REFUSED_UNLESS) {
    const value = fields.value(key);
    if (value === undefined || value === harmless) continue;
    throw fields.unsupported(key, value, harmless === undefined ? "nothing" : `${String(harmless)} or nothing`, remedy);
  }
}

/** The number of layers, checked before lists of that length are allocated. */
function boundedLayers(fields: ConfigFields): number {
  const layers = fields.positiveInteger("num_hidden_layers");
  const max = MAX_SIZES.numHiddenLayers;
  if (layers > max) throw fields.invalid("num_hidden_layers", layers, `an integer from 1 to ${max}`);
  return layers;
}

function derivedHeadDim(fields: ConfigFields, hiddenSize: number, heads: number): number {
  if (fields.value("head_dim") === undefined && hiddenSize % heads !== 0) {
    throw fields.invalid("num_attention_heads", heads, `a divisor of hidden_size ${hiddenSize}, since head_dim is absent`);
  }
  return hiddenSize / heads;
}

/** The sizes of each layer: from `layer_widths` if the model is ragged, otherwise the same for every layer. */
function parseLayerSizes(fields: ConfigFields, rules: FamilyConfigRules, layers: number): LayerSizes[] {
  if (isRaggedModelType(fields.value("model_type"))) return parseLayerWidths(fields, layers);
  const numAttentionHeads = fields.positiveInteger("num_attention_heads");
  const sizes: LayerSizes = {
    intermediateSize: fields.positiveInteger("intermediate_size"),
    numAttentionHeads,
    numKeyValueHeads: parseKeyValueHeads(fields, rules, numAttentionHeads),
  };
  return Array.from({ length: layers }, () => sizes);
}

/** As in transformers, an absent key means the family's default, and null means as many as query heads. */
function parseKeyValueHeads(fields: ConfigFields, rules: FamilyConfigRules, heads: number): number {
  const isNull = Object.hasOwn(fields.json, "num_key_value_heads") && fields.json["num_key_value_heads"] === null;
  return fields.positiveInteger("num_key_value_heads", isNull ? heads : (rules.defaultKeyValueHeads ?? heads));
}

function parseActivation(fields: ConfigFields, rules: FamilyConfigRules): ModelConfig["hiddenActivation"] {
  const name = fields.string(rules.activationKey, rules.defaultActivation);
  const activation = ACTIVATIONS.find((known) => known === name);
  if (activation === undefined) throw fields.unsupported(rules.activationKey, name, ACTIVATIONS.join(" or "));
  return activation;
}

/** `sliding_window`; an explicit null means that no layer slides. */
function parseSlidingWindow(fields: ConfigFields, rules: FamilyConfigRules): number | null {
  if (rules.sliding.kind === "none") return null;
  if (Object.hasOwn(fields.json, "sliding_window") && fields.json["sliding_window"] === null) return null;
  return fields.positiveInteger("sliding_window", rules.sliding.defaultWindow);
}

function parseLayerTypes(fields: ConfigFields, rules: FamilyConfigRules, layers: number): LayerType[] {
  const byRule = Array.from({ length: layers }, layerTypeByRule(fields, rules));
  const listed = fields.value("layer_types");
  if (listed === undefined) return byRule;
  if (!Array.isArray(listed) || listed.length !== layers) {
    throw fields.invalid("layer_types", listed, `a list with one entry for each of the ${layers} layers`);
  }
  const types = listed.map((type: unknown): LayerType => {
    if (type === "full_attention" || type === "sliding_attention") return type;
    throw fields.unsupported("layer_types", type, "full_attention or sliding_attention");
  });
  const followsList = rules.sliding.kind === "upper" || rules.sliding.kind === "pattern";
  if (!followsList && types.some((type, layer) => type !== byRule[layer])) {
    throw fields.unsupported(
      "layer_types",
      listed,
      `${byRule[0]} in every layer, as in the transformers implementation of this family`,
    );
  }
  return types;
}

function layerTypeByRule(fields: ConfigFields, rules: FamilyConfigRules): (_: unknown, layer: number) => LayerType {
  const { sliding } = rules;
  switch (sliding.kind) {
    case "none":
      return () => "full_attention";
    case "all": {
      const type = parseSlidingWindow(fields, rules) === null ? "full_attention" : "sliding_attention";
      return () => type;
    }
    case "upper": {
      const slides = fields.boolean("use_sliding_window", false) && parseSlidingWindow(fields, rules) !== null;
      const firstSliding = firstWindowLayer(fields, sliding.defaultFirstLayer);
      return (_, layer) => (slides && layer >= firstSliding ? "sliding_attention" : "full_attention");
    }
    case "pattern": {
      const pattern = fields.positiveInteger("sliding_window_pattern", sliding.defaultPeriod);
      return (_, layer) => ((layer + 1) % pattern === 0 ? "full_attention" : "sliding_attention");
    }
    default:
      throw sliding satisfies never;
  }
}

/** `max_window_layers`, which may be 0: every layer slides. */
function firstWindowLayer(fields: ConfigFields, fallback: number): number {
  return fields.value("max_window_layers") === 0 ? 0 : fields.positiveInteger("max_window_layers", fallback);
}
