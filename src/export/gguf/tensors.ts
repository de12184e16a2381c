/**
 * @file A checkpoint's tensors as a GGUF file stores them: under its names, q and k with interleaved rotary halves if
 * the architecture needs that, norms with their offset, each in its chosen type, weighted by the importance of the
 * columns if it is known. Rows that a GGUF file stores in this type are copied as bytes. Read piece by piece.
 */

import { blockSizes, blockTensorShape, modelTensorShape } from "../../checkpoint/check-tensors.ts";
import type { Checkpoint, RowReader, StoredDType } from "../../checkpoint/checkpoint.ts";
import { isNormRole, isRotatedRole, type BlockRole, type ModelRole } from "../../families/roles.ts";
import { blockTensorName, familyNamed, modelTensorName } from "../../families/index.ts";
import {
  FUSED_ROLES,
  GGUF_MODEL_TENSOR_NAMES,
  ggufBlockTensorName,
  interleavedRow,
  isFusedRole,
  ROPE_FACTORS_NAME,
} from "../../checkpoint/gguf/names.ts";
import { ggmlByteLength } from "../../checkpoint/gguf/ggml-types.ts";
import { quantize, type WrittenGgmlType } from "./ggml-quantize.ts";
import type { GgufForm } from "./architecture.ts";
import { finestType, type GgufStorage, matrixType, requantizedType } from "./types.ts";
import { rowPieces } from "../row-pieces.ts";
import { checkStoredRange } from "../stored-range.ts";
import type { GgufTensorSource } from "./writer.ts";

/** A tensor of the model, under both its names. */
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
export function ggufTensors(checkpoint: Checkpoint, form: GgufForm, storage: GgufStorage): GgufTensorSource[] {
  const placed = inOrderOfFile(checkpoint, form, placeTensors(checkpoint, form));
  const sources = placed.map((tensor): GgufTensorSource => {
    const { shape, ggufName: name } = tensor;
    const stored = rowsOfType(checkpoint, tensor, form, storage);
    if (stored !== null) {
      return { name, shape, type: stored.type, isCopied: true, pieces: () => storedPieces(checkpoint, tensor, form, stored) };
    }
    if (shape.length === 1) return { name, shape, type: "F32", pieces: () => vectorPieces(checkpoint, tensor, form) };
    const type = typeOf(checkpoint, tensor, form, storage);
    return { name, shape, type, pieces: () => matrixPieces(checkpoint, tensor, form, type) };
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

/** A tensor's rows as a GGUF file stores them, and their type. */
interface StoredRows {
  readonly type: StoredDType;
  readonly read: RowReader;
}

/** The rows as they are stored, if the new file needs exactly these; otherwise null. */
function rowsOfType(checkpoint: Checkpoint, tensor: PlacedTensor, form: GgufForm, storage: GgufStorage): StoredRows | null {
  const read = checkpoint.gguf?.rowsAsStored(tensor.name) ?? null;
  if (read === null || (tensor.role === "qNorm" && form.queryScale !== 1)) return null;
  const type = checkpoint.tensors.get(tensor.name)!.dtype;
  const isVector = tensor.shape.length === 1;
  if (storage !== "as stored" && isVector) return type === "F32" ? { type, read } : null;
  return isVector || type === finestStoredType(checkpoint, tensor, form, storage) ? { type, read } : null;
}

/** The type of a matrix whose values are quantised again. */
function typeOf(checkpoint: Checkpoint, tensor: PlacedTensor, form: GgufForm, storage: GgufStorage): WrittenGgmlType {
  const rowLength = tensor.shape[1]!;
  if (storage === "as stored") return requantizedType(finestStoredType(checkpoint, tensor, form, storage), rowLength);
  const { role, layer } = tensor;
  return matrixType(storage, { role: typedAs(role, form), layer, rowLength }, checkpoint.config);
}

/**
 * The type in which a matrix's rows must be stored to be copied: the requested one; if none is, its own or, if q, k and
 * v are fused, the finest of theirs.
 */
function finestStoredType(checkpoint: Checkpoint, tensor: PlacedTensor, form: GgufForm, storage: GgufStorage): StoredDType {
  if (storage !== "as stored") return typeOf(checkpoint, tensor, form, storage);
  const own = checkpoint.tensors.get(tensor.name)!.dtype;
  const { role, layer } = tensor;
  if (!form.fusesQkv || !isFusedRole(role)) return own;
  const family = familyNamed(checkpoint.config.family);
  const parts = FUSED_ROLES.map((part) => checkpoint.tensors.get(blockTensorName(family, layer, part))!.dtype);
  if (parts.every((type) => type === own)) return own;
  const [first, ...others] = [own, ...parts].map((type) => requantizedType(type, tensor.shape[1]!));
  return finestType([first!, ...others]);
}

/** A GGUF file's own order, so that a file without a cut is written unchanged. Fused q, k and v are adjacent. */
function inOrderOfFile(checkpoint: Checkpoint, form: GgufForm, placed: readonly PlacedTensor[]): readonly PlacedTensor[] {
  if (checkpoint.gguf === undefined || form.fusesQkv) return placed;
  const places = new Map([...checkpoint.tensors.keys()].map((name, place) => [name, place]));
  return placed.toSorted((a, b) => (places.get(a.name) ?? 0) - (places.get(b.name) ?? 0));
}

/** The role that determines a matrix's type: one for all of q, k and v if they are fused. */
function typedAs(role: BlockRole | ModelRole, { fusesQkv }: GgufForm): BlockRole | ModelRole {
  return fusesQkv && isFusedRole(role) ? "q" : role;
}

/** A tied output head is omitted, even if the checkpoint repeats the embedding under its name. */
function placeTensors({ config }: Checkpoint, { optionalRoles }: GgufForm): PlacedTensor[] {
  const family = familyNamed(config.family);
  const modelTensor = (role: ModelRole): PlacedTensor => ({
    name: modelTensorName(family, role),
    ggufName: GGUF_MODEL_TENSOR_NAMES[role],
    role,
    layer: 0,
    shape: modelTensorShape(role, config),
  });
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) => layer);
  const blocks = layers.flatMap((layer) =>
    [...family.requiredRoles, ...optionalRoles].map((role) => ({
      name: blockTensorName(family, layer, role),
      ggufName: ggufBlockTensorName(layer, role),
      role,
      layer,
      shape: blockTensorShape(role, blockSizes(config, layer)),
    })),
  );
  const head = config.tieWordEmbeddings ? [] : [modelTensor("outputHead")];
  return [modelTensor("embedding"), ...blocks, modelTensor("finalNorm"), ...head];
}

/** Copies rows as they are stored, reordered if the architecture needs that. */
async function* storedPieces(
  checkpoint: Checkpoint,
  tensor: PlacedTensor,
  form: GgufForm,
  { type, read }: StoredRows,
): AsyncIterable<Uint8Array> {
  const [rowCount = 0, rowLength = 1] = tensor.shape;
  const rowBytes = ggmlByteLength(type, rowLength);
  const headDim = interleavedHeadDim(checkpoint, tensor, form);
  for (const rows of rowPieces(rowCount, rowLength, headDim ?? 1)) {
    const bytes = await read(rows);
    yield headDim === null ? bytes : interleaved(bytes, rowBytes, headDim);
  }
}

async function* matrixPieces(
  checkpoint: Checkpoint,
  tensor: PlacedTensor,
  form: GgufForm,
  type: WrittenGgmlType,
): AsyncIterable<Uint8Array> {
  const [rowCount = 0, rowLength = 0] = tensor.shape;
  const headDim = interleavedHeadDim(checkpoint, tensor, form);
  const importance = (await checkpoint.readImportance?.(tensor.name)) ?? null;
  for (const rows of rowPieces(rowCount, rowLength, headDim ?? 1)) {
    const values = await checkpoint.readFloat32(tensor.name, rows);
    yield encode(type, headDim === null ? values : interleaved(values, rowLength, headDim), tensor.name, importance);
  }
}

async function* vectorPieces(checkpoint: Checkpoint, tensor: PlacedTensor, form: GgufForm): AsyncIterable<Uint8Array> {
  let values = await checkpoint.readFloat32(tensor.name);
  const headDim = interleavedHeadDim(checkpoint, tensor, form);
  if (headDim !== null) values = interleaved(values, 1, headDim);
  const { normOffset } = familyNamed(checkpoint.config.family);
  const scale = tensor.role === "qNorm" ? form.queryScale : 1;
  const isNorm = isNormRole(tensor.role);
  yield encode("F32", isNorm ? values.map((value) => (value + normOffset) * scale) : values, tensor.name);
}

function interleavedHeadDim({ config }: Checkpoint, { role }: PlacedTensor, form: GgufForm): number | null {
  return form.interleavesRotary && isRotatedRole(role) ? config.headDim : null;
}

/**
 * Rows in the file's order; whole heads.
 * @param rowLength elements of the array per row.
 */
function interleaved<T extends Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(
  rows: T,
  rowLength: number,
  headDim: number,
): T {
  const stored = rows.slice() as T;
  for (let row = 0; row * rowLength < rows.length; row++) {
    stored.set(rows.subarray(row * rowLength, (row + 1) * rowLength), interleavedRow(row, headDim) * rowLength);
  }
  return stored;
}

/** @throws CusprunError `OUTPUT_DTYPE` for a value that the type cannot hold. */
function encode(type: WrittenGgmlType, values: Float32Array, name: string, importance: Float32Array | null = null): Uint8Array {
  const isFloat16 = type !== "F32" && type !== "BF16";
  checkStoredRange(values, { name, isFloat16, typeName: type, remedy: "Write with --type BF16 or F32" });
  return quantize(type, values, importance);
}
