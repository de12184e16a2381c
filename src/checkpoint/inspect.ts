/**
 * @file Describes a model without reading its weights: sizes, parameters by part, storage and prunable units. A folder
 * with only a config.json, or that file alone, is sufficient.
 */

import { join } from "node:path";
import { readFolder, statPath } from "../regular-files.ts";
import { elementCount } from "../tensor.ts";
import type { Checkpoint, LeftOutTensors, StoredDType } from "./checkpoint.ts";
import type { JsonObject } from "../json.ts";
import type { BlockRole } from "../families/roles.ts";
import { familyNamed, modelTensorName } from "../families/index.ts";
import { configDType, hasAttentionBias } from "./config/hf-config.ts";
import { parseModelConfig } from "./config/text-config.ts";
import { readJsonObject } from "./json-files.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { locateCheckpoint, openCheckpoint } from "./open.ts";
import { countParameters } from "./parameters.ts";
import { presentOptionalRoles } from "./optional-roles.ts";
import { readConfigJson } from "./safetensors/open-safetensors.ts";

/** Parameters of a part of a model, and its share of the total. */
export interface PartDescription {
  readonly parameters: number;
  /** Between 0 and 1. */
  readonly share: number;
}

/** The tensors stored in one dtype. */
export interface DTypeDescription {
  readonly dtype: StoredDType;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

/** Description of a model, as shown by `cusprun inspect`. */
export interface ModelDescription {
  readonly path: string;
  /** `config`: only a config.json, without weights. */
  readonly format: Checkpoint["format"] | "config";
  readonly config: ModelConfig;
  readonly parameters: {
    readonly total: number;
    /** Parameters that scale with the vocabulary: the embedding, and the output head if it is not tied. */
    readonly vocabulary: PartDescription;
    readonly attention: PartDescription;
    readonly ffn: PartDescription;
    /** All norms, including the final one. */
    readonly norms: PartDescription;
    /** Attention, FFN and norms of all decoder blocks. */
    readonly blocks: PartDescription;
    /** One entry per layer. */
    readonly perLayer: readonly number[];
  };
  /** Number of structural units of each kind, one entry per layer. */
  readonly unitsPerLayer: Readonly<Record<"ffn" | "head" | "kv-group" | "value-dim" | "rotary-pair", readonly number[]>>;
  /** Dtypes in which tensors are stored, in descending order of bytes; empty if there are no weights. */
  readonly storedDTypes: readonly DTypeDescription[];
  /** Dtype named in the config, or null. */
  readonly configDType: StoredDType | null;
  /** Size of all files with tensors in bytes; null if there are none. */
  readonly bytesOnDisk: number | null;
  /** What the files hold besides the text model, e.g. an image encoder; null if nothing else. An expert lacks it. */
  readonly leftOut: LeftOutTensors | null;
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
  const found = await statPath(path, "MODEL_NOT_FOUND", "a model or its config.json");
  if (found?.isDirectory() === false && path.endsWith(".json")) {
    return describeConfig(path, (await readJsonObject(path)) ?? {}, path);
  }
  const location = await locateCheckpoint(path);
  if (location.format === "safetensors" && !(await hasWeights(location.folder))) {
    return describeConfig(path, await readConfigJson(location.folder), join(location.folder, "config.json"));
  }
  const checkpoint = await openCheckpoint(path);
  try {
    return await describeCheckpoint(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

async function hasWeights(folder: string): Promise<boolean> {
  const names = await readFolder(folder, "MODEL_FILE_MISSING", "a readable model folder");
  return names.some((name) => name.endsWith(".safetensors") || name.endsWith(".safetensors.index.json"));
}

function describeConfig(path: string, json: JsonObject, where: string): ModelDescription {
  const { config, configJson } = parseModelConfig(json, where);
  const optionalRoles = hasAttentionBias(configJson, where) ? familyNamed(config.family).configRules.attentionBiasRoles : [];
  return {
    ...describeSizes(path, config, optionalRoles, false),
    format: "config",
    storedDTypes: [],
    configDType: configDType(configJson),
    bytesOnDisk: null,
    leftOut: null,
  };
}

async function describeCheckpoint(checkpoint: Checkpoint): Promise<ModelDescription> {
  const { config, tensors } = checkpoint;
  const family = familyNamed(config.family);
  const files = new Set([...tensors.values()].map((tensor) => tensor.file));
  const sizes = await Promise.all([...files].map(sizeOf));
  return {
    ...describeSizes(
      checkpoint.path,
      config,
      presentOptionalRoles(checkpoint),
      tensors.has(modelTensorName(family, "outputHead")),
    ),
    format: checkpoint.format,
    storedDTypes: countDTypes(checkpoint),
    configDType: configDType(checkpoint.configJson),
    bytesOnDisk: sizes.reduce((sum, size) => sum + size, 0),
    leftOut: checkpoint.leftOut ?? null,
  };
}

async function sizeOf(file: string): Promise<number> {
  const found = await statPath(file, "MODEL_FILE_MISSING", "the file that was opened");
  return found?.size ?? 0;
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
