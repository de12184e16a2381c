/**
 * @file The rotary position embedding in a Hugging Face config.json, in both forms: `rope_theta` + `rope_scaling` (+
 * `rope_local_base_freq`) up to transformers 4, `rope_parameters` from version 5, flat or keyed by layer type. Source:
 * transformers 5.23, modeling_rope_utils.py (`convert_rope_params_to_dict`, `standardize_rope_params`,
 * `ROPE_INIT_FUNCTIONS`).
 */

import { type ConfigFields } from "./config-fields.ts";
import { isJsonObject } from "../../json.ts";
import type { FamilyConfigRules } from "../../families/family.ts";
import type { LayerType, RopeConfig, RopeScaling } from "./model-config.ts";

/** Unsupported keys that change the rotation. `mrope_section` is multimodal; the others belong to YaRN and LongRoPE. */
const UNKNOWN_ROPE_KEYS = ["mrope_section", "long_factor", "short_factor", "attention_factor"];

/**
 * Reads the rotation of each layer type.
 * @throws CusprunError `CONFIG_INVALID`, `CONFIG_UNSUPPORTED`.
 */
export function parseRope(fields: ConfigFields, rules: FamilyConfigRules): Record<LayerType, RopeConfig> {
  // In transformers, a non-empty `rope_scaling` takes precedence over `rope_parameters`.
  const scaling = fields.object("rope_scaling");
  const current = fields.object("rope_parameters");
  const hasScaling = scaling !== null && Object.keys(scaling.json).length > 0;
  if (rules.ropePerLayerType && hasScaling && current !== null) {
    throw fields.invalid("rope_scaling", scaling.json, "rope_scaling or rope_parameters, not both");
  }
  const parameters = hasScaling ? scaling : current;
  const fullTheta = fields.positiveNumber("rope_theta", rules.defaultRopeTheta.full);
  checkPartialRotary(fields);

  if (parameters !== null && isKeyedByLayerType(parameters)) {
    const full = parseOne(parameters.object("full_attention"), fields, fullTheta);
    const slidingTheta = rules.ropePerLayerType ? localTheta(fields, rules) : fullTheta;
    const sliding = parameters.object("sliding_attention");
    if (sliding === null && !rules.ropePerLayerType) return { full_attention: full, sliding_attention: full };
    return { full_attention: full, sliding_attention: parseOne(sliding, fields, slidingTheta) };
  }
  if (rules.ropePerLayerType && parameters !== null && parameters !== scaling) {
    throw fields.invalid("rope_parameters", parameters.json, "an object with the keys full_attention and sliding_attention");
  }
  const full = parseOne(parameters, fields, fullTheta);
  // Scaling applies to layers with full attention; sliding layers with their own rotation keep the trained one.
  const sliding: RopeConfig = rules.ropePerLayerType ? { theta: localTheta(fields, rules), scaling: null } : full;
  return { full_attention: full, sliding_attention: sliding };
}

function localTheta(fields: ConfigFields, rules: FamilyConfigRules): number {
  return fields.positiveNumber("rope_local_base_freq", rules.defaultRopeTheta.sliding);
}

function isKeyedByLayerType(parameters: ConfigFields): boolean {
  return isJsonObject(parameters.value("full_attention")) || isJsonObject(parameters.value("sliding_attention"));
}

function parseOne(parameters: ConfigFields | null, config: ConfigFields, defaultTheta: number): RopeConfig {
  if (parameters === null) return { theta: defaultTheta, scaling: null };
  checkPartialRotary(parameters);
  for (const key of UNKNOWN_ROPE_KEYS) {
    if (parameters.value(key) !== undefined) throw parameters.unsupported(key, parameters.value(key), "no such key");
  }
  return { theta: parameters.positiveNumber("rope_theta", defaultTheta), scaling: parseScaling(parameters, config) };
}

function parseScaling(parameters: ConfigFields, config: ConfigFields): RopeScaling | null {
  const typeKey = parameters.value("rope_type") === undefined ? "type" : "rope_type";
  const type = parameters.string(typeKey, "default");
  switch (type) {
    case "default":
      return null;
    case "linear":
      return { type, factor: parameters.positiveNumber("factor") };
    case "llama3": {
      const lowFreqFactor = parameters.positiveNumber("low_freq_factor");
      const highFreqFactor = parameters.positiveNumber("high_freq_factor");
      if (highFreqFactor <= lowFreqFactor) {
        throw parameters.invalid("high_freq_factor", highFreqFactor, `more than low_freq_factor, which is ${lowFreqFactor}`);
      }
      const fallback = config.value("max_position_embeddings");
      return {
        type,
        factor: parameters.positiveNumber("factor"),
        lowFreqFactor,
        highFreqFactor,
        originalMaxPositionEmbeddings: parameters.positiveInteger(
          "original_max_position_embeddings",
          typeof fallback === "number" ? fallback : undefined,
        ),
      };
    }
    default:
      throw parameters.unsupported(typeKey, type, "default, linear or llama3");
  }
}

function checkPartialRotary(fields: ConfigFields): void {
  const factor = fields.value("partial_rotary_factor");
  if (factor !== undefined && factor !== 1) throw fields.unsupported("partial_rotary_factor", factor, "1 or nothing");
}
