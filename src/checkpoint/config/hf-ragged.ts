/**
 * @file The config.json of a ragged model, whose layers differ in size (docs/architecture.md, "Layouts"). No stock
 * class of transformers supports this, so the model type is cusprun's own (with a stock type, the file would be loaded
 * wrongly if remote code is not trusted), `auto_map` names the classes in the Python file written next to it, and
 * `layer_widths` contains the sizes of each layer. The keys of the stock family are kept, with the sizes of the dense
 * model.
 */

import type { ConfigFields } from "./config-fields.ts";
import { type FamilyName, FAMILIES, RAGGED_MODEL_TYPE_PREFIX } from "../../families/families.ts";
import type { LayerSizes } from "./model-config.ts";

/** Name of the Python module written next to a ragged model. */
export const RAGGED_MODULE = "modeling_cusprun_ragged";
/** Its classes. */
export const RAGGED_CONFIG_CLASS = "RaggedConfig";
export const RAGGED_MODEL_CLASS = "RaggedForCausalLM";

/** `model_type` of the ragged models of a family. */
export function raggedModelType(family: FamilyName): string {
  return `${RAGGED_MODEL_TYPE_PREFIX}${FAMILIES[family].modelTypes[0]}`;
}

/** Whether a `model_type` is that of a ragged model. */
export function isRaggedModelType(modelType: unknown): boolean {
  return typeof modelType === "string" && modelType.startsWith(RAGGED_MODEL_TYPE_PREFIX);
}

/** The keys to set in the dense model's config.json. */
export function raggedConfigKeys(
  family: FamilyName,
  headDim: number,
  layerSizes: readonly LayerSizes[],
): Readonly<Record<string, unknown>> {
  return {
    model_type: raggedModelType(family),
    architectures: [RAGGED_MODEL_CLASS],
    auto_map: {
      AutoConfig: `${RAGGED_MODULE}.${RAGGED_CONFIG_CLASS}`,
      AutoModelForCausalLM: `${RAGGED_MODULE}.${RAGGED_MODEL_CLASS}`,
    },
    head_dim: headDim,
    layer_widths: layerSizes.map(({ intermediateSize, numAttentionHeads, numKeyValueHeads }) => ({
      intermediate_size: intermediateSize,
      num_attention_heads: numAttentionHeads,
      num_key_value_heads: numKeyValueHeads,
    })),
  };
}

/**
 * Reads `layer_widths`.
 * @throws CusprunError `CONFIG_INVALID`.
 */
export function parseLayerWidths(fields: ConfigFields, layers: number): LayerSizes[] {
  const widths = fields.value("layer_widths");
  if (!Array.isArray(widths) || widths.length !== layers) {
    throw fields.invalid("layer_widths", widths, `a list with one entry for each of the ${layers} layers`);
  }
  return widths.map((entry: unknown, layer): LayerSizes => {
    const sizes = fields.entry(`layer_widths[${layer}]`, entry);
    return {
      intermediateSize: sizes.positiveInteger("intermediate_size"),
      numAttentionHeads: sizes.positiveInteger("num_attention_heads"),
      numKeyValueHeads: sizes.positiveInteger("num_key_value_heads"),
    };
  });
}
