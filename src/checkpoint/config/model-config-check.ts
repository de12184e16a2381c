/**
 * @file Checks of every `ModelConfig`, whatever its source: upper bounds of sizes, and relations between sizes.
 */

import { CusprunError } from "../../errors.ts";
import type { LayerSizes, ModelConfig } from "./model-config.ts";

/**
 * Upper bounds of the sizes in a file. Each is far above every published decoder (in brackets), and low enough that
 * products of sizes are exact integers and a malicious file cannot cause excessive loops or allocations.
 */
export const MAX_SIZES: Readonly<Record<keyof CheckedSizes, number>> = {
  /** [126, Llama 3.1 405B] */
  numHiddenLayers: 1024,
  /** [18,432, Nemotron 340B] */
  hiddenSize: 2 ** 17,
  /** [73,728, Nemotron 340B] */
  intermediateSize: 2 ** 20,
  /** [128, Llama 3.1 405B] */
  numAttentionHeads: 2048,
  numKeyValueHeads: 2048,
  /** [512, Gemma 4] */
  headDim: 2048,
  /** [262,208, Gemma 3] */
  vocabSize: 2 ** 22,
  /** [10,485,760, Llama 4] Also the bound of token positions in int32. */
  maxPositionEmbeddings: 2 ** 31 - 1,
};

type CheckedSizes = LayerSizes &
  Pick<ModelConfig, "numHiddenLayers" | "hiddenSize" | "headDim" | "vocabSize" | "maxPositionEmbeddings">;

/**
 * Checks the sizes of a config and their relations, and returns the config.
 * @param where the file, for error messages.
 * @throws CusprunError `CONFIG_INVALID`.
 */
export function checkModelConfig(config: ModelConfig, where: string): ModelConfig {
  const { headDim, layerTypes, numHiddenLayers, layerSizes, slidingWindow } = config;
  if (layerSizes.length !== numHiddenLayers) {
    throw invalid(where, "layer_widths", `${layerSizes.length} entries`, `one for each of the ${numHiddenLayers} layers`);
  }
  for (const sizes of layerSizes) checkLayerSizes({ ...config, ...sizes }, where);
  if (headDim % 2 !== 0)
    throw invalid(where, "head_dim", String(headDim), "an even number, since dimensions are rotated in pairs");
  if (!(config.rmsNormEps > 0 && config.rmsNormEps < 1)) {
    throw invalid(where, "rms_norm_eps", String(config.rmsNormEps), "a number between 0 and 1");
  }
  if (layerTypes.length !== numHiddenLayers) {
    throw invalid(where, "layer_types", `${layerTypes.length} entries`, `one for each of the ${numHiddenLayers} layers`);
  }
  if (layerTypes.includes("sliding_attention") && slidingWindow === null) {
    throw invalid(where, "sliding_window", "nothing", "a positive integer, since some layers use sliding attention");
  }
  return config;
}

function checkLayerSizes(sizes: CheckedSizes, where: string): void {
  for (const [name, max] of Object.entries(MAX_SIZES) as [keyof CheckedSizes, number][]) {
    const size = sizes[name];
    if (!Number.isSafeInteger(size) || size < 1 || size > max) {
      throw invalid(where, snakeCase(name), String(size), `an integer from 1 to ${max}`);
    }
  }
  const { numAttentionHeads, numKeyValueHeads } = sizes;
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw invalid(
      where,
      "num_key_value_heads",
      `${numKeyValueHeads} with ${numAttentionHeads} query heads`,
      "a divisor of num_attention_heads",
    );
  }
}

/** `numHiddenLayers` → `num_hidden_layers`, the name in the file. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function invalid(where: string, key: string, found: string, expected: string): CusprunError {
  return new CusprunError("CONFIG_INVALID", {
    where: `${where}: ${key}`,
    found,
    expected,
    remedy: "Download the file again, or correct it",
  });
}
