/**
 * @file A model's config → the keys of its GGUF header, except for those of the tokenizer.
 * Source: `set_gguf_parameters` of llama.cpp's `convert_hf_to_gguf.py`.
 */

import type { ModelConfig } from "../../checkpoint/config/model-config.ts";
import type { GgufForm } from "./architecture.ts";
import { fileTypeId, isQuantized, type GgufStorage } from "./types.ts";
import type { GgufPair, GgufTypedValue } from "./writer.ts";

/** `GGML_QNT_VERSION`: the layout of quantised blocks. */
const QUANTIZATION_VERSION = 2;

/** Description of a file, besides its config. */
export interface GgufDescription {
  /** `general.name`. */
  readonly name: string;
  /** `general.license`, as the hub names it, or null. */
  readonly license: string | null;
  readonly parameters: number;
  readonly storage: GgufStorage;
}

/** The keys `general.*`, for the given parts of the description. */
export function descriptionPairs(
  { architecture }: GgufForm,
  { name, license, parameters, storage }: Partial<GgufDescription> & Pick<GgufDescription, "parameters" | "storage">,
): GgufPair[] {
  const pairs: GgufPair[] = [
    ["general.architecture", ["string", architecture]],
    ["general.type", ["string", "model"]],
  ];
  if (name !== undefined) pairs.push(["general.name", ["string", name]]);
  pairs.push(["general.size_label", ["string", sizeLabel(parameters)]]);
  if (license !== undefined && license !== null) pairs.push(["general.license", ["string", license]]);
  if (storage === "as stored") return pairs;
  pairs.push(["general.file_type", ["uint32", fileTypeId(storage)]]);
  if (isQuantized(storage)) pairs.push(["general.quantization_version", ["uint32", QUANTIZATION_VERSION]]);
  return pairs;
}

/** The keys of the architecture, which begin with its name. */
export function architecturePairs(config: ModelConfig, form: GgufForm): GgufPair[] {
  return architectureKeys(config, form).map(([key, value]) => [`${form.architecture}.${key}`, value]);
}

/** Head sizes are always written: llama.cpp would otherwise use hidden size / heads, which cutting heads changes. */
function architectureKeys(config: ModelConfig, form: GgufForm): [string, GgufTypedValue][] {
  const { full_attention: rope, sliding_attention: slidingRope } = config.rope;
  const keys: [string, GgufTypedValue][] = [
    ["block_count", ["uint32", config.numHiddenLayers]],
    ["context_length", ["uint32", form.contextLength]],
    ["embedding_length", ["uint32", config.hiddenSize]],
    ["feed_forward_length", perLayer(config.layerSizes.map(({ intermediateSize }) => intermediateSize))],
    ["attention.head_count", perLayer(config.layerSizes.map(({ numAttentionHeads }) => numAttentionHeads))],
    ["attention.head_count_kv", perLayer(config.layerSizes.map(({ numKeyValueHeads }) => numKeyValueHeads))],
    ["attention.key_length", ["uint32", config.headDim]],
    ["attention.value_length", ["uint32", config.headDim]],
    ["attention.layer_norm_rms_epsilon", ["float32", config.rmsNormEps]],
    ["vocab_size", ["uint32", config.vocabSize]],
    ["rope.dimension_count", ["uint32", config.headDim]],
    ["rope.freq_base", ["float32", rope.theta]],
  ];
  if (rope.scaling?.type === "linear") {
    keys.push(["rope.scaling.type", ["string", "linear"]], ["rope.scaling.factor", ["float32", rope.scaling.factor]]);
  }
  if (form.slidingPeriod !== null && config.slidingWindow !== null) {
    keys.push(
      ["attention.sliding_window", ["uint32", config.slidingWindow]],
      ["attention.sliding_window_pattern", ["uint32", form.slidingPeriod]],
      ["rope.freq_base_swa", ["float32", slidingRope.theta]],
    );
  }
  return keys;
}

/** One number if all layers have the same, because runtimes estimate their memory from it; otherwise one per layer. */
function perLayer(sizes: readonly number[]): GgufTypedValue {
  return new Set(sizes).size === 1 ? ["uint32", sizes[0]!] : ["array", "int32", sizes];
}

/** `115M`, `1.2B`. */
function sizeLabel(parameters: number): string {
  const [scaled, unit] =
    parameters >= 1e9 ? [parameters / 1e9, "B"] : parameters >= 1e6 ? [parameters / 1e6, "M"] : [parameters / 1e3, "K"];
  return `${scaled < 10 ? scaled.toFixed(1) : Math.round(scaled)}${unit}`;
}
