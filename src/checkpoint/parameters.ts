/**
 * @file Counts parameters by part, from a config alone.
 */

import { elementCount } from "../tensor.ts";
import { blockSizes, blockTensorShape, modelTensorShape, type BlockSizes } from "./check-tensors.ts";
import { partOfRole, type BlockRole } from "../families/roles.ts";
import { familyNamed } from "../families/index.ts";
import type { ModelConfig } from "./config/model-config.ts";

/** Parameters of one decoder block. */
export interface LayerParameters {
  /** Projections, biases, and query and key norms of the attention. */
  readonly attention: number;
  readonly ffn: number;
  /** Norms on the residual stream. */
  readonly norms: number;
  readonly total: number;
}

/** Parameters of a model by part. */
export interface ParameterCounts {
  readonly total: number;
  readonly embedding: number;
  /** The output head; 0 if it is tied to the embedding. */
  readonly head: number;
  readonly finalNorm: number;
  /** One entry per layer. */
  readonly perLayer: readonly LayerParameters[];
  /** Total of all decoder blocks. */
  readonly blocks: number;
}

/**
 * Counts a model's parameters.
 * @param options.optionalRoles the optional block tensors of the family that this model has; none by default.
 * @param options.separateHead count an output head even if the config ties it to the embedding (some files contain
 * both).
 */
export function countParameters(
  config: ModelConfig,
  options: { readonly optionalRoles?: readonly BlockRole[]; readonly separateHead?: boolean } = {},
): ParameterCounts {
  const roles = [...familyNamed(config.family).requiredRoles, ...(options.optionalRoles ?? [])];
  const perLayer = config.layerSizes.map((_, layer) => countBlock(blockSizes(config, layer), roles));
  const blocks = perLayer.reduce((sum, { total }) => sum + total, 0);
  const embedding = elementCount(modelTensorShape("embedding", config));
  const finalNorm = elementCount(modelTensorShape("finalNorm", config));
  const hasHead = options.separateHead === true || !config.tieWordEmbeddings;
  const head = hasHead ? elementCount(modelTensorShape("outputHead", config)) : 0;
  return { total: embedding + head + finalNorm + blocks, embedding, head, finalNorm, perLayer, blocks };
}

/** Counts the parameters of a block with tensors of these roles. */
export function countBlock(sizes: BlockSizes, roles: Iterable<BlockRole>): LayerParameters {
  const parts = { attention: 0, ffn: 0, norms: 0 };
  for (const role of roles) parts[partOfRole(role)] += elementCount(blockTensorShape(role, sizes));
  return { ...parts, total: parts.attention + parts.ffn + parts.norms };
}
