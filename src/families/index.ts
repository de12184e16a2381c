/**
 * @file Looks families up, and derives names of tensors and classes from an entry.
 */

import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";
import type { Family, FamilyName, FamilyWrapper } from "./family.ts";
import type { BlockRole, ModelRole } from "./roles.ts";
import { FAMILIES } from "./table.ts";

/** Prefix of a family's `model_type` if layers differ in size. */
const RAGGED_MODEL_TYPE_PREFIX = "cusprun_ragged_";

/**
 * The family of a name.
 * @throws RangeError (a defect of the caller) for a name that no family has: configs are checked when they are read.
 */
export function familyNamed(name: FamilyName): Family {
  const family = FAMILIES.find((candidate) => candidate.name === name);
  if (family === undefined) throw new RangeError(`no family '${name}'`);
  return family;
}

/**
 * The family of a config.json's `model_type`.
 * @param where the config file, for the error message.
 * @throws CusprunError `UNKNOWN_FAMILY`, which lists the supported ones.
 */
export function familyOfModelType(modelType: string, where: string): Family {
  const stock = isRaggedModelType(modelType) ? modelType.slice(RAGGED_MODEL_TYPE_PREFIX.length) : modelType;
  return findFamilies("model_type", (family) => family.modelTypes, stock, where)[0]!;
}

/** A model of several parts, and the family of its text model. */
export interface WrappedFamily {
  readonly family: Family;
  readonly wrapper: FamilyWrapper;
}

/**
 * The families of text models that a model of several parts may contain, by its `model_type`; empty if cusprun does not
 * know it.
 */
export function familiesOfWrapper(modelType: string): readonly WrappedFamily[] {
  return FAMILIES.flatMap((family) =>
    (family.wrappers ?? []).filter((wrapper) => wrapper.modelType === modelType).map((wrapper) => ({ family, wrapper })),
  );
}

/** `model_type` of every model of several parts whose text model is read. */
export function wrapperModelTypes(): readonly string[] {
  return [...new Set(FAMILIES.flatMap(({ wrappers }) => (wrappers ?? []).map(({ modelType }) => modelType)))];
}

/**
 * The families that a GGUF file's `general.architecture` may stand for, at least one.
 * @param where the GGUF file, for the error message.
 * @throws CusprunError `UNKNOWN_FAMILY`, which lists the supported ones.
 */
export function familiesOfGgufArchitecture(architecture: string, where: string): readonly Family[] {
  const namesOf = (family: Family): string[] => family.ggufArchitectures.map(({ name }) => name);
  return findFamilies("general.architecture", namesOf, architecture, where);
}

function findFamilies(key: string, namesOf: (family: Family) => readonly string[], name: string, where: string): Family[] {
  const found = FAMILIES.filter((candidate) => namesOf(candidate).includes(name));
  if (found.length > 0) return found;
  throw new CusprunError("UNKNOWN_FAMILY", {
    where: `${where}: ${key}`,
    found: showValue(name),
    expected: `one of ${[...new Set(FAMILIES.flatMap(namesOf))].join(", ")} (dense models only)`,
    remedy: "Choose a model of a supported family",
  });
}

/**
 * Full name of a block tensor in safetensors files, e.g. `model.layers.3.mlp.down_proj.weight`.
 * @throws RangeError (a defect of the caller) if the family has no such tensor.
 */
export function blockTensorName({ name, tensorNames }: Family, layer: number, role: BlockRole): string {
  const suffix = tensorNames.block[role];
  if (suffix === undefined) throw new RangeError(`family ${name} has no tensor for ${role}`);
  return tensorNames.blockPrefix.replace("{layer}", String(layer)) + suffix;
}

/** Name of a tensor outside the blocks in safetensors files, e.g. `model.norm.weight`. */
export function modelTensorName({ tensorNames }: Family, role: ModelRole): string {
  return tensorNames.model[role];
}

/**
 * Name of a tensor as the family's full model has it: a model that was saved without its output head has names without
 * `basePrefix`, which transformers adds when it loads the full model.
 */
export function nameWithBasePrefix({ tensorNames }: Family, name: string): string {
  const { basePrefix, blockPrefix, model } = tensorNames;
  const own = basePrefix + name;
  const [blocks = ""] = blockPrefix.split("{layer}");
  return own.startsWith(blocks) || Object.values(model).includes(own) ? own : name;
}

/**
 * Name of a tensor after layers were renumbered.
 * @param numbers new numbers of the layers by their old ones.
 * @returns null for a tensor of a removed layer; the same name for a tensor outside the blocks.
 */
export function renumberedTensorName({ tensorNames }: Family, name: string, numbers: ReadonlyMap<number, number>): string | null {
  const [before = "", after = ""] = tensorNames.blockPrefix.split("{layer}");
  const [, digits, rest] = name.startsWith(before) ? (/^(\d+)(.*)$/.exec(name.slice(before.length)) ?? []) : [];
  if (digits === undefined || rest === undefined || !rest.startsWith(after)) return name;
  const number = numbers.get(Number(digits));
  return number === undefined ? null : `${before}${number}${rest}`;
}

/**
 * Whether queries and keys are normalised over each head, so that zeroing one row of a head would change all its
 * others.
 */
export function normsQueries(family: FamilyName): boolean {
  return familyNamed(family).requiredRoles.includes("qNorm");
}

/** transformers' class of a family's models. */
export function modelClass({ transformers }: Family): string {
  return `${transformers.stem}ForCausalLM`;
}

/** `model_type` of a family's models whose layers differ in size. */
export function raggedModelType({ modelTypes }: Family): string {
  return `${RAGGED_MODEL_TYPE_PREFIX}${modelTypes[0]}`;
}

/** Whether a `model_type` is that of models whose layers differ in size. */
export function isRaggedModelType(modelType: unknown): boolean {
  return typeof modelType === "string" && modelType.startsWith(RAGGED_MODEL_TYPE_PREFIX);
}
