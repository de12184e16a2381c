/**
 * @file A checkpoint's tensors as a GGUF file holds them: under its names, q and k with their rotary halves interleaved where the
 * architecture wants it, norms with their offset, each in the type that was chosen for it. Read piece by piece.
 */

import { blockSizes, blockTensorShape, modelTensorShape } from "../checkpoint/check-tensors.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { type BlockRole, blockTensorName, FAMILIES, MODEL_TENSOR_NAMES, type ModelRole } from "../checkpoint/families.ts";
import {
  GGUF_BLOCK_TENSOR_NAMES,
  GGUF_MODEL_TENSOR_NAMES,
  interleavedRow,
  NORM_ROLES,
  ROPE_FACTORS_NAME,
  ROTATED_ROLES,
} from "../checkpoint/gguf-names.ts";
import { CusprunError } from "../errors.ts";
import { quantize, type WrittenGgmlType } from "./ggml-quantize.ts";
import type { GgufForm } from "./gguf-architecture.ts";
import { type GgufFileType, matrixType } from "./gguf-types.ts";
import type { GgufTensorSource } from "./gguf-writer.ts";

/** Values that are held at a time, about: 4 MiB in f32. */
const PIECE_VALUES = 2 ** 20;

/** Largest value of binary16, which is also how quantised blocks hold their scales and minima. */
const MAX_F16 = 65_504;

/** A tensor of the model, and what becomes of it. */
interface PlacedTensor {
  /** Hugging Face's name. */
  readonly name: string;
  readonly ggufName: string;
  readonly role: BlockRole | ModelRole;
  readonly layer: number;
  readonly shape: readonly number[];
}

/**
 * Every tensor to be written, in the order of the file. Reads nothing.
 * @param form how the model is written.
 */
export function ggufTensors(checkpoint: Checkpoint, form: GgufForm, fileType: GgufFileType): GgufTensorSource[] {
  const placed = placeTensors(checkpoint, form);
  const sources = placed.map((tensor): GgufTensorSource => {
    const { role, layer, shape, ggufName: name } = tensor;
    const isMatrix = shape.length > 1;
    const type = isMatrix
      ? matrixType(fileType, { role: typedAs(role, form), layer, rowLength: shape[1]! }, checkpoint.config)
      : "F32";
    return {
      name,
      shape,
      type,
      pieces: () => (isMatrix ? matrixPieces(checkpoint, tensor, form, type) : vectorPieces(checkpoint, tensor, form)),
    };
  });
  const { ropeFactors } = form;
  if (ropeFactors === null) return sources;
  const factors: GgufTensorSource = {
    name: ROPE_FACTORS_NAME,
    shape: [ropeFactors.length],
    type: "F32",
    pieces: async function* () {
      yield quantize("F32", Float32Array.from(ropeFactors));
    },
  };
  return [...sources, factors];
}

/** The role that decides on a matrix' type: one for all of q, k and v where they are fused. */
function typedAs(role: BlockRole | ModelRole, { fusesQkv }: GgufForm): BlockRole | ModelRole {
  return fusesQkv && (role === "k" || role === "v") ? "q" : role;
}

/** A tied output head is left out, also where the checkpoint repeats the embedding under its name. */
function placeTensors({ config }: Checkpoint, { optionalRoles }: GgufForm): PlacedTensor[] {
  const family = FAMILIES[config.family];
  const modelTensor = (role: ModelRole): PlacedTensor => ({
    name: MODEL_TENSOR_NAMES[role],
    ggufName: GGUF_MODEL_TENSOR_NAMES[role],
    role,
    layer: 0,
    shape: modelTensorShape(role, config),
  });
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) => layer);
  const blocks = layers.flatMap((layer) =>
    [...family.requiredRoles, ...optionalRoles].map((role) => ({
      name: blockTensorName(family, layer, role),
      ggufName: `blk.${layer}.${GGUF_BLOCK_TENSOR_NAMES[role]}`,
      role,
      layer,
      shape: blockTensorShape(role, blockSizes(config, layer)),
    })),
  );
  const head = config.tieWordEmbeddings ? [] : [modelTensor("outputHead")];
  return [modelTensor("embedding"), ...blocks, modelTensor("finalNorm"), ...head];
}

async function* matrixPieces(
  checkpoint: Checkpoint,
  tensor: PlacedTensor,
  form: GgufForm,
  type: WrittenGgmlType,
): AsyncIterable<Uint8Array> {
  const [rowCount = 0, rowLength = 0] = tensor.shape;
  const headDim = interleavedHeadDim(checkpoint, tensor, form);
  const group = headDim ?? 1;
  const pieceRows = Math.max(1, Math.floor(PIECE_VALUES / (rowLength * group))) * group;
  for (let start = 0; start < rowCount; start += pieceRows) {
    const end = Math.min(start + pieceRows, rowCount);
    const values = await checkpoint.readFloat32(tensor.name, { start, end });
    yield encode(type, headDim === null ? values : interleaved(values, rowLength, headDim), tensor.name);
  }
}

async function* vectorPieces(checkpoint: Checkpoint, tensor: PlacedTensor, form: GgufForm): AsyncIterable<Uint8Array> {
  let values = await checkpoint.readFloat32(tensor.name);
  const headDim = interleavedHeadDim(checkpoint, tensor, form);
  if (headDim !== null) values = interleaved(values, 1, headDim);
  const { normOffset } = FAMILIES[checkpoint.config.family];
  const scale = tensor.role === "qNorm" ? form.queryScale : 1;
  const isNorm = NORM_ROLES.includes(tensor.role);
  yield encode("F32", isNorm ? values.map((value) => (value + normOffset) * scale) : values, tensor.name);
}

function interleavedHeadDim({ config }: Checkpoint, { role }: PlacedTensor, form: GgufForm): number | null {
  return form.interleavesRotary && ROTATED_ROLES.includes(role) ? config.headDim : null;
}

/** Rows in the file's order; whole heads. */
function interleaved(values: Float32Array, rowLength: number, headDim: number): Float32Array<ArrayBuffer> {
  const stored = new Float32Array(values.length);
  for (let row = 0; row * rowLength < values.length; row++) {
    const from = values.subarray(row * rowLength, (row + 1) * rowLength);
    stored.set(from, interleavedRow(row, headDim) * rowLength);
  }
  return stored;
}

/** @throws CusprunError `OUTPUT_DTYPE` for a value that the type cannot hold. */
function encode(type: WrittenGgmlType, values: Float32Array, name: string): Uint8Array {
  const largest = type === "F32" || type === "BF16" ? Number.MAX_VALUE : MAX_F16;
  for (const value of values) {
    if (Math.abs(value) <= largest) continue;
    const isRange = Number.isFinite(value);
    throw new CusprunError("OUTPUT_DTYPE", {
      where: `tensor '${name}'`,
      found: `the value ${value}`,
      expected: isRange ? `values within ±${MAX_F16}, the range of ${type}` : "finite values",
      remedy: isRange ? "Write with --type BF16 or F32" : "The model is damaged; download or make it again",
    });
  }
  return quantize(type, values);
}
