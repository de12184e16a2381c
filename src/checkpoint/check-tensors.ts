/**
 * @file Checks tensor names and shapes, for both safetensors and GGUF: every tensor of the family must be present with
 * the shape that the config implies, and no other tensor may be.
 */

import { CusprunError } from "../errors.ts";
import type { TensorInfo } from "./checkpoint.ts";
import type { BlockRole, ModelRole } from "../families/roles.ts";
import { blockTensorName, familyNamed, modelTensorName } from "../families/index.ts";
import type { Family } from "../families/family.ts";
import { presentOptionalRoles } from "./optional-roles.ts";
import type { LayerSizes, ModelConfig } from "./config/model-config.ts";

/** Maximum number of names that a message lists; the rest are only counted. */
const MAX_LISTED_NAMES = 3;

/** Sizes that determine the shapes of a block's tensors. */
export type BlockSizes = LayerSizes & Pick<ModelConfig, "hiddenSize" | "headDim">;

/** Sizes of the block of one layer. */
export function blockSizes({ hiddenSize, headDim, layerSizes }: ModelConfig, layer: number): BlockSizes {
  return { hiddenSize, headDim, ...layerSizes[layer]! };
}

/** Shape of a block tensor; [out, in] for matrices. */
export function blockTensorShape(role: BlockRole, sizes: BlockSizes): readonly number[] {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = sizes;
  switch (role) {
    case "attentionNorm":
    case "postAttentionNorm":
    case "ffnNorm":
    case "postFfnNorm":
    case "oBias":
      return [D];
    case "q":
      return [H * K, D];
    case "k":
    case "v":
      return [G * K, D];
    case "o":
      return [D, H * K];
    case "qBias":
      return [H * K];
    case "kBias":
    case "vBias":
      return [G * K];
    case "qNorm":
    case "kNorm":
      return [K];
    case "gate":
    case "up":
      return [F, D];
    case "down":
      return [D, F];
    default:
      throw role satisfies never;
  }
}

/** Shape of a tensor outside the blocks. */
export function modelTensorShape(role: ModelRole, config: ModelConfig): readonly number[] {
  return role === "finalNorm" ? [config.hiddenSize] : [config.vocabSize, config.hiddenSize];
}

/**
 * Checks tensor names and shapes.
 * @param tensors by Hugging Face name, in Hugging Face orientation.
 * @param where the file or folder, for error messages.
 * @param optionalRoles whether the family's optional block tensors are `present`, `absent`, or `either` (default: a
 * role is present in all layers or in none).
 * @throws CusprunError `TENSOR_MISSING`, `TENSOR_SHAPE`, `TENSOR_UNKNOWN`.
 */
export function checkTensors(
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  where: string,
  optionalRoles: "present" | "absent" | "either" = "either",
): void {
  const family = familyNamed(config.family);
  const expected = expectedTensors(config, family, presentRoles(family, tensors, optionalRoles));
  const head = modelTensorName(family, "outputHead");
  if (tensors.has(head) || !config.tieWordEmbeddings) expected.set(head, modelTensorShape("outputHead", config));

  const missing = [...expected.keys()].filter((name) => !tensors.has(name));
  if (missing.length > 0) {
    const names = `${tensors.size} tensors, without ${listNames(missing)}`;
    throw new CusprunError("TENSOR_MISSING", {
      where,
      expected: `the ${expected.size} tensors of a ${family.name} model with ${config.numHiddenLayers} layers`,
      ...explainMissing(family, missing, tensors, names),
    });
  }
  const unknown = [...tensors.keys()].filter((name) => !expected.has(name));
  if (unknown.length > 0) {
    throw new CusprunError("TENSOR_UNKNOWN", {
      where,
      found: listNames(unknown),
      expected: `only tensors of a ${family.name} model with ${config.numHiddenLayers} layers; others would change its output`,
      remedy: "Choose a model without them, or merge adapters and save the model with transformers first",
    });
  }
  for (const [name, shape] of expected) checkShape(tensors.get(name)!, shape);
}

/** The cause of missing tensors, which stock transformers would fill with random values. */
function explainMissing(
  family: Family,
  missing: readonly string[],
  tensors: ReadonlyMap<string, TensorInfo>,
  found: string,
): { readonly found: string; readonly remedy: string } {
  const [first = ""] = missing;
  if (missing.length === 1 && first === modelTensorName(family, "outputHead")) {
    return {
      found: `${found}, although tie_word_embeddings is false`,
      remedy:
        "The model was saved without its output head: load the original with transformers' AutoModelForCausalLM and save it " +
        "with save_pretrained",
    };
  }
  const longer = [...tensors.keys()].find((name) => name.endsWith(`.${first}`));
  const prefix = longer?.slice(0, -first.length);
  if (prefix !== undefined && missing.every((name) => tensors.has(prefix + name))) {
    return {
      found: `names that start with '${prefix.slice(0, 120)}', such as '${longer!.slice(0, 120)}'`,
      remedy: "A wrapper was saved with the model: save the model inside it with transformers' save_pretrained",
    };
  }
  return { found, remedy: "Download the model again; if it is complete, its config belongs to another model" };
}

function checkShape(tensor: TensorInfo, expected: readonly number[]): void {
  const same = tensor.shape.length === expected.length && tensor.shape.every((size, axis) => size === expected[axis]);
  if (same) return;
  throw new CusprunError("TENSOR_SHAPE", {
    where: `${tensor.file}: tensor '${tensor.name}'`,
    found: `shape [${tensor.shape.slice(0, 8).join(", ")}]`,
    expected: `[${expected.join(", ")}], according to the config`,
    remedy: "Download the model again; if it is complete, its config belongs to another model",
  });
}

/** The optional roles that the layers must have. */
function presentRoles(
  family: Family,
  tensors: ReadonlyMap<string, TensorInfo>,
  optionalRoles: "present" | "absent" | "either",
): readonly BlockRole[] {
  switch (optionalRoles) {
    case "present":
      return family.configRules.attentionBiasRoles;
    case "absent":
      return [];
    case "either":
      return presentOptionalRoles({ config: { family: family.name }, tensors });
    default:
      throw optionalRoles satisfies never;
  }
}

function expectedTensors(config: ModelConfig, family: Family, optional: readonly BlockRole[]): Map<string, readonly number[]> {
  const expected = new Map<string, readonly number[]>();
  for (const role of ["embedding", "finalNorm"] as const)
    expected.set(modelTensorName(family, role), modelTensorShape(role, config));
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const sizes = blockSizes(config, layer);
    for (const role of [...family.requiredRoles, ...optional])
      expected.set(blockTensorName(family, layer, role), blockTensorShape(role, sizes));
  }
  return expected;
}

function listNames(names: readonly string[]): string {
  const listed = names.slice(0, MAX_LISTED_NAMES).map((name) => `'${name.slice(0, 120)}'`);
  const rest = names.length - listed.length;
  return `${listed.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}
