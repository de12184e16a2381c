/**
 * @file The config.json of a ragged model, whose layers differ in size (docs/architecture.md, "Layouts"). No stock
 * class of transformers supports this, so the model type is cusprun's own (with a stock type, the file would be loaded
 * wrongly if remote code is not trusted), `auto_map` names the classes in the Python file written next to it, and
 * `layer_widths` contains the sizes of each layer. The keys of the stock family are kept, with the sizes of the dense
 * model.
 */

import type { ConfigFields } from "./config-fields.ts";
import type { FamilyName } from "../../families/family.ts";
import { familyNamed, raggedModelType } from "../../families/index.ts";
import type { LayerSizes } from "./model-config.ts";

/** Name of the Python module written next to a ragged model. */
export const RAGGED_MODULE = "modeling_cusprun_ragged";
/** Its classes. */
export const RAGGED_CONFIG_CLASS = "RaggedConfig";
export const RAGGED_MODEL_CLASS = "RaggedForCausalLM";

/** Keys to set in the dense model's config.json. */
export function raggedConfigKeys(
  family: FamilyName,
  headDim: number,
  layerSizes: readonly LayerSizes[],
): Readonly<Record<string, unknown>> {
  return {
    model_type: raggedModelType(familyNamed(family)),
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
