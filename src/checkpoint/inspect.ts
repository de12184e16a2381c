/**
 * @file What a model is, without reading a weight: sizes, parameters by part, how it is stored, and what there is to prune. A folder with
 * nothing but a config.json, or that file alone, is enough.
 */

import { readdir, stat } from "node:fs/promises";
import { elementCount } from "../tensor.ts";
import type { Checkpoint, StoredDType } from "./checkpoint.ts";
import type { JsonObject } from "./config/config-fields.ts";
import { type BlockRole, blockTensorName, FAMILIES, MODEL_TENSOR_NAMES } from "../families/families.ts";
import { configDType, hasAttentionBias, parseHfConfig } from "./config/hf-config.ts";
import { readJsonObject } from "./json-files.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { locateCheckpoint, openCheckpoint } from "./open.ts";
import { countParameters } from "./parameters.ts";
import { readModelConfig } from "./safetensors/open-safetensors.ts";

/** Parameters of a part, and its share of all. */
export interface PartDescription {
  readonly parameters: number;
  /** 0 to 1. */
  readonly share: number;
}

/** The tensors that are stored in one dtype. */
export interface DTypeDescription {
  readonly dtype: StoredDType;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

/** What `cusprun inspect` tells of a model. */
export interface ModelDescription {
  readonly path: string;
  /** `config`: there are no weights, only a config.json. */
  readonly format: Checkpoint["format"] | "config";
  readonly config: ModelConfig;
  readonly parameters: {
    readonly total: number;
    /** Everything that grows with the vocabulary: the embedding, and the output head where it is not tied. */
    readonly vocabulary: PartDescription;
    readonly attention: PartDescription;
    readonly ffn: PartDescription;
    /** All norms, the final one included. */
    readonly norms: PartDescription;
    /** Attention, FFN and norms of all decoder blocks. */
    readonly blocks: PartDescription;
    /** One entry per layer. */
    readonly perLayer: readonly number[];
  };
  /** How many of each structural unit the layers have, one entry per layer. */
  readonly unitsPerLayer: Readonly<Record<"ffn" | "head" | "kv-group" | "value-dim" | "rotary-pair", readonly number[]>>;
  /** Dtypes that tensors are stored in, most bytes first; empty where there are no weights. */
  readonly storedDTypes: readonly DTypeDescription[];
  /** Dtype that the config names, where it names one. */
  readonly configDType: StoredDType | null;
  /** Bytes of all files that hold tensors; null where there are none. */
  readonly bytesOnDisk: number | null;
}

/**
 * Describes a model.
 * @param path a folder, with or without weights, a GGUF file, or a config.json.
 * @throws CusprunError what `openCheckpoint` and `parseHfConfig` throw.
 * @example
 * ```ts
 * import { describeModel, resolveModel } from "cusprun";
 *
 * const { config, parameters, unitsPerLayer } = await describeModel(await resolveModel("smollm2"));
 * console.log(config.family, parameters.total, parameters.ffn.share);
 * console.log("FFN units of the first layer:", unitsPerLayer.ffn[0]);
 * ```
 */
export async function describeModel(path: string): Promise<ModelDescription> {
  const found = await stat(path).catch(() => null);
  if (found?.isFile() && path.endsWith(".json")) {
    const json = (await readJsonObject(path)) ?? {};
    return describeConfig(path, json, parseHfConfig(json, path));
  }
  const location = await locateCheckpoint(path);
  if (location.format === "safetensors" && !(await hasWeights(location.folder))) {
    const { configJson, config } = await readModelConfig(location.folder);
    return describeConfig(path, configJson, config);
  }
  const checkpoint = await openCheckpoint(path);
  try {
    return await describeCheckpoint(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

async function hasWeights(folder: string): Promise<boolean> {
  const names = await readdir(folder);
  return names.some((name) => name.endsWith(".safetensors") || name.endsWith(".safetensors.index.json"));
}

function describeConfig(path: string, json: JsonObject, config: ModelConfig): ModelDescription {
  const optionalRoles = hasAttentionBias(json, path) ? FAMILIES[config.family].configRules.attentionBiasRoles : [];
  return {
    ...describeSizes(path, config, optionalRoles, false),
    format: "config",
    storedDTypes: [],
    configDType: configDType(json),
    bytesOnDisk: null,
  };
}

async function describeCheckpoint(checkpoint: Checkpoint): Promise<ModelDescription> {
  const { config, tensors } = checkpoint;
  const family = FAMILIES[config.family];
  const optionalRoles = family.optionalRoles.filter((role) => tensors.has(blockTensorName(family, 0, role)));
  const files = new Set([...tensors.values()].map((tensor) => tensor.file));
  const sizes = await Promise.all([...files].map(async (file) => (await stat(file)).size));
  return {
    ...describeSizes(checkpoint.path, config, optionalRoles, tensors.has(MODEL_TENSOR_NAMES.outputHead)),
    format: checkpoint.format,
    storedDTypes: countDTypes(checkpoint),
    configDType: configDType(checkpoint.configJson),
    bytesOnDisk: sizes.reduce((sum, size) => sum + size, 0),
  };
}

function describeSizes(
  path: string,
  config: ModelConfig,
  optionalRoles: readonly BlockRole[],
  separateHead: boolean,
): Pick<ModelDescription, "path" | "config" | "parameters" | "unitsPerLayer"> {
  const counts = countParameters(config, { optionalRoles, separateHead });
  const { layerSizes, headDim: K } = config;
  const sumOf = (key: "attention" | "ffn" | "norms"): number => counts.perLayer.reduce((sum, layer) => sum + layer[key], 0);
  const part = (parameters: number): PartDescription => ({ parameters, share: parameters / counts.total });
  return {
    path,
    config,
    parameters: {
      total: counts.total,
      vocabulary: part(counts.embedding + counts.head),
      attention: part(sumOf("attention")),
      ffn: part(sumOf("ffn")),
      norms: part(sumOf("norms") + counts.finalNorm),
      blocks: part(counts.blocks),
      perLayer: counts.perLayer.map(({ total }) => total),
    },
    unitsPerLayer: {
      ffn: layerSizes.map(({ intermediateSize: F }) => F),
      head: layerSizes.map(({ numAttentionHeads: H }) => H),
      "kv-group": layerSizes.map(({ numKeyValueHeads: G }) => G),
      "value-dim": layerSizes.map(({ numKeyValueHeads: G }) => G * K),
      "rotary-pair": layerSizes.map(({ numKeyValueHeads: G }) => (G * K) / 2),
    },
  };
}

function countDTypes(checkpoint: Checkpoint): DTypeDescription[] {
  const counts = new Map<StoredDType, DTypeDescription>();
  for (const { dtype, shape, byteLength } of checkpoint.tensors.values()) {
    const { tensors, parameters, bytes } = counts.get(dtype) ?? { tensors: 0, parameters: 0, bytes: 0 };
    counts.set(dtype, { dtype, tensors: tensors + 1, parameters: parameters + elementCount(shape), bytes: bytes + byteLength });
  }
  return [...counts.values()].toSorted((a, b) => b.bytes - a.bytes);
}
