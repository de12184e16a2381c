/**
 * @file The cut itself: checkpoint + plan → the expert's config and tensors. Tensors are read lazily, one in memory at
 * a time. Stored floats are moved as bits, so that kept values are bit-identical to the checkpoint's.
 * Source: docs/architecture.md, "Units and what they free" and "Layouts".
 */

import type { Checkpoint, RowRange, RowReader, StoredDType, TensorInfo } from "../checkpoint/checkpoint.ts";
import { blockTensorName, familyNamed, renumberedTensorName } from "../families/index.ts";
import type { BlockRole } from "../families/roles.ts";
import { raggedConfigKeys } from "../checkpoint/config/hf-ragged.ts";
import { sameLayerSizes } from "../checkpoint/config/model-config.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { renumberConfig, withPaddingToken, type RenumberedConfig } from "../checkpoint/config/token-ids.ts";
import type { JsonObject } from "../json.ts";
import type { WeightSource } from "../model/layer-program.ts";
import { checkPlan } from "../selection/plan-check.ts";
import type { PlannedSizes } from "../selection/plan-check.ts";
import { keptLayers } from "../selection/plan.ts";
import type { Layout, PlannedCut } from "../selection/plan.ts";
import { FLOAT_DTYPE_BYTES } from "../tensor.ts";
import type { FloatDType } from "../tensor.ts";
import { plannedTokenIds } from "./expert-tokenizer.ts";
import { applyEdit, editedRows, editedShape, planTensorEdits } from "./tensor-edits.ts";
import type { TensorEdit } from "./tensor-edits.ts";
import type { TokenIdMap } from "./trim-tokenizer.ts";

/** A tensor of an expert. */
export interface ExpertTensor {
  /** Hugging Face's name. */
  readonly name: string;
  /** Hugging Face's orientation, [out, in], after the cut. */
  readonly shape: readonly number[];
  /** The type in which the checkpoint stores it. */
  readonly dtype: StoredDType;
  /** The checkpoint's file that holds it, for messages. */
  readonly file: string;
  /** Values in f32, row-major; `rows` selects rows of a matrix. */
  readFloat32(rows?: RowRange): Promise<Float32Array<ArrayBuffer>>;
  /**
   * The elements as stored, little-endian and row-major; `rows` selects rows of a matrix. Null if the checkpoint stores
   * quantised blocks.
   */
  readonly readBytes: ((rows?: RowRange) => Promise<Uint8Array<ArrayBuffer>>) | null;
  /**
   * Rows as the checkpoint's GGUF file stores them; null if the edit changed their blocks, or the checkpoint is not a
   * GGUF file. See `GgufOrigin`.
   */
  readonly rowsAsStored: RowReader | null;
  /**
   * Weight of each column of a matrix when it is quantised, [columns]: the mean square of its input. Absent if it is
   * not known.
   */
  readonly readImportance?: () => Promise<Float32Array<ArrayBuffer>>;
}

/** A pruned model, ready to be written. */
export interface Expert {
  readonly config: ModelConfig;
  /** The checkpoint's config.json with the changes that the cut requires. */
  readonly configJson: Readonly<Record<string, unknown>>;
  readonly generationConfigJson: Readonly<Record<string, unknown>> | null;
  /** Keys of these two files that name a token without a new id, such as `generation_config.json: suppress_tokens`. */
  readonly leftOut: readonly string[];
  /** In the order of the checkpoint. */
  readonly tensors: readonly ExpertTensor[];
}

/** The family's optional block tensors (biases) that a checkpoint holds. */
export function presentOptionalRoles(checkpoint: Checkpoint): readonly BlockRole[] {
  const family = familyNamed(checkpoint.config.family);
  return family.optionalRoles.filter((role) => checkpoint.tensors.has(blockTensorName(family, 0, role)));
}

/**
 * Cuts a checkpoint. The checkpoint must stay open while the expert's tensors are read.
 * @throws CusprunError `PLAN_MISMATCH`, `LAYOUT_UNSUPPORTED`, both before a weight is read; the checkpoint's errors
 *   while reading.
 */
export function cutExpert(checkpoint: Checkpoint, plan: PlannedCut): Expert {
  const sizes = checkPlan(plan, checkpoint.config, presentOptionalRoles(checkpoint));
  const edits = planTensorEdits(plan, checkpoint.config, (name) => checkpoint.tensors.has(name));
  const ids = plannedTokenIds(plan);
  const layers = keptLayers(plan);
  const numbers = new Map(layers.map((layer, number) => [layer, number]));
  const family = familyNamed(checkpoint.config.family);
  const configJson = renumbered(checkpoint.configJson, ids, checkpoint.config);
  const generation = checkpoint.generationConfigJson && renumbered(checkpoint.generationConfigJson, ids, checkpoint.config);
  return {
    config: cutConfig(checkpoint.config, sizes, layers, ids),
    configJson: cutConfigJson(checkpoint.config, configJson.json, plan.layout, sizes, layers),
    generationConfigJson: generation?.json ?? null,
    leftOut: [
      ...configJson.leftOut.map((key) => `config.json: ${key}`),
      ...(generation?.leftOut ?? []).map((key) => `generation_config.json: ${key}`),
    ],
    tensors: [...checkpoint.tensors.values()].flatMap((tensor) => {
      const name = renumberedTensorName(family, tensor.name, numbers);
      return name === null ? [] : [{ ...expertTensor(checkpoint, tensor, edits.get(tensor.name)), name }];
    }),
  };
}

/** An uncut checkpoint as an expert, for writers of experts. The checkpoint must stay open while tensors are read. */
export function wholeExpert(checkpoint: Checkpoint): Expert {
  const { config, configJson, generationConfigJson, tensors } = checkpoint;
  return {
    config,
    configJson: withPaddingToken(configJson, config.vocabSize),
    generationConfigJson: generationConfigJson && withPaddingToken(generationConfigJson, config.vocabSize),
    leftOut: [],
    tensors: [...tensors.values()].map((tensor) => expertTensor(checkpoint, tensor, undefined)),
  };
}

/** An expert that is not written yet, as the layer program reads one. */
export function asWeightSource({ config, tensors }: Expert): WeightSource {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return { config, tensors: byName, readFloat32: (name) => byName.get(name)!.readFloat32() };
}

function expertTensor(
  checkpoint: Checkpoint,
  { name, shape, dtype, file }: TensorInfo,
  edit: TensorEdit | undefined,
): ExpertTensor {
  const stored = floatDType(dtype);
  return {
    name,
    shape: edit === undefined ? shape : editedShape(shape, edit),
    dtype,
    file,
    readFloat32: async (rows) => {
      if (edit === undefined) return checkpoint.readFloat32(name, rows);
      const part = editedPart(shape, edit, rows);
      const values = await checkpoint.readFloat32(name, part.before);
      if (part.edit === null) return values;
      const edited = applyEdit(new Uint32Array(values.buffer, values.byteOffset, values.length), part.shape, part.edit);
      return new Float32Array(edited.buffer, edited.byteOffset, edited.length);
    },
    rowsAsStored: editedRowReader(checkpoint, name, shape, edit),
    readBytes:
      stored === null
        ? null
        : async (rows) => {
            if (edit === undefined) return checkpoint.readBytes(name, rows);
            const part = editedPart(shape, edit, rows);
            const bytes = await checkpoint.readBytes(name, part.before);
            return part.edit === null ? bytes : editBytes(bytes, stored, part.shape, part.edit);
          },
  };
}

/** The part of a tensor to read for some or all rows of the edited one, and the edit that this part still needs. */
function editedPart(
  shape: readonly number[],
  edit: TensorEdit,
  rows: RowRange | undefined,
): { readonly before: RowRange | undefined; readonly shape: readonly number[]; readonly edit: TensorEdit | null } {
  if (rows === undefined) return { before: undefined, shape, edit };
  const { before, edit: left } = editedRows(shape[0]!, edit, rows);
  return { before, shape: [before.end - before.start, ...shape.slice(1)], edit: left };
}

/** Whole rows of a quantised tensor are cut and zeroed as bytes: in every type, a block of zero bytes holds zeros. */
function editedRowReader(
  checkpoint: Checkpoint,
  name: string,
  shape: readonly number[],
  edit: TensorEdit | undefined,
): RowReader | null {
  const read = checkpoint.gguf?.rowsAsStored(name) ?? null;
  if (read === null || edit === undefined) return read;
  if (edit.axis === 1) return null;
  return async (rows) => {
    const { before, edit: left } = editedRows(shape[0]!, edit, rows);
    const bytes = await read(before);
    return left === null ? bytes : applyEdit(bytes, [before.end - before.start], left);
  };
}

function floatDType(dtype: StoredDType): FloatDType | null {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16" ? dtype : null;
}

function editBytes(
  bytes: Uint8Array<ArrayBuffer>,
  dtype: FloatDType,
  shape: readonly number[],
  edit: TensorEdit,
): Uint8Array<ArrayBuffer> {
  const size = FLOAT_DTYPE_BYTES[dtype];
  // Views of words need an aligned start; a reader may return a slice of a larger buffer.
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const [buffer, start, count] = [aligned.buffer, aligned.byteOffset, aligned.byteLength / size] as const;
  const edited =
    size === 2
      ? applyEdit(new Uint16Array(buffer, start, count), shape, edit)
      : applyEdit(new Uint32Array(buffer, start, count), shape, edit);
  return new Uint8Array(edited.buffer, edited.byteOffset, edited.byteLength);
}

function cutConfig(
  config: ModelConfig,
  { rewrite, ...sizes }: PlannedSizes,
  layers: readonly number[],
  ids: TokenIdMap | null,
): ModelConfig {
  const renumber = (id: number): number => ids?.get(id) ?? id;
  return {
    ...config,
    ...sizes,
    numHiddenLayers: layers.length,
    layerTypes: layers.map((layer) => config.layerTypes[layer]!),
    family: rewrite?.family ?? config.family,
    bosTokenId: config.bosTokenId === null ? null : renumber(config.bosTokenId),
    eosTokenIds: config.eosTokenIds.map(renumber),
  };
}

function cutConfigJson(
  config: ModelConfig,
  configJson: JsonObject,
  layout: Layout,
  { layerSizes, vocabSize, rewrite }: PlannedSizes,
  layers: readonly number[],
): JsonObject {
  const changed: Record<string, unknown> = {};
  if (vocabSize !== config.vocabSize) changed["vocab_size"] = vocabSize;
  if (layers.length !== config.numHiddenLayers) {
    changed["num_hidden_layers"] = layers.length;
    // If some layers use sliding attention, the rule that says which ones depends on layer numbers, and these have
    // changed.
    if ("layer_types" in configJson || new Set(config.layerTypes).size > 1)
      changed["layer_types"] = layers.map((layer) => config.layerTypes[layer]);
  }
  if (layerSizes.every((sizes, layer) => sameLayerSizes(sizes, config.layerSizes[layer]!))) return { ...configJson, ...changed };
  if (layout === "ragged") return { ...configJson, ...changed, ...raggedConfigKeys(config.family, config.headDim, layerSizes) };
  const [kept, dense] = [layerSizes[0]!, config.layerSizes[0]!];
  if (kept.intermediateSize !== dense.intermediateSize) changed["intermediate_size"] = kept.intermediateSize;
  if (kept.numAttentionHeads !== dense.numAttentionHeads) {
    changed["num_attention_heads"] = kept.numAttentionHeads;
    changed["num_key_value_heads"] = kept.numKeyValueHeads;
    // Without the key, readers would assume a head size of hidden_size / num_attention_heads, which has changed.
    changed["head_dim"] = config.headDim;
  }
  return { ...configJson, ...changed, ...rewrite?.keys };
}

/** A config with the ids of the kept tokens. */
function renumbered(json: JsonObject, ids: TokenIdMap | null, { vocabSize }: ModelConfig): RenumberedConfig {
  return ids === null ? { json: withPaddingToken(json, vocabSize), leftOut: [] } : renumberConfig(json, (id) => ids.get(id));
}
