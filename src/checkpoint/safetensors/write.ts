/**
 * @file Writes safetensors: first plans names, shapes, offsets and shards, then writes the bytes piece by piece from an
 * async source. Source: huggingface/safetensors README ("Format"); shards and index as written by `save_pretrained` of
 * transformers (huggingface_hub, `split_torch_state_dict_into_shards`).
 */

import { open, writeFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../../atomic-write.ts";
import { type JobOptions, pause } from "../../progress.ts";
import { elementCount } from "../../tensor.ts";
import {
  HEADER_LENGTH_BYTES,
  MAX_HEADER_BYTES,
  SAFETENSORS_DTYPE_BITS,
  type SafetensorsDType,
  tensorByteLength,
} from "./header.ts";

/** A tensor to write. */
export interface TensorSource {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /**
   * Its little-endian bytes, row-major, in pieces. Called once, when the tensor is written; each piece is released
   * before the next.
   */
  pieces(): AsyncIterable<Uint8Array>;
}

/**
 * The `pieces` of a tensor that is read all at once.
 * @param read returns the values; called once, when the tensor is written.
 */
export function inOnePiece(read: () => Promise<ArrayBufferView>): () => AsyncIterable<Uint8Array> {
  return async function* () {
    const { buffer, byteOffset, byteLength } = await read();
    yield new Uint8Array(buffer, byteOffset, byteLength);
  };
}

/** Metadata of PyTorch weights; transformers rejects files without it. */
export const PYTORCH_METADATA: Readonly<Record<string, string>> = { format: "pt" };

/** Name of the weights if they are in one file. */
export const SINGLE_FILE_NAME = "model.safetensors";
/** Name of the index if they are in several files. */
export const INDEX_FILE_NAME = "model.safetensors.index.json";
/** The header is padded so that the data start at a multiple of this, as the format requires. */
const HEADER_ALIGNMENT_BYTES = 8;

/** One file of a sharded checkpoint. */
export interface ShardPlan {
  readonly fileName: string;
  readonly tensors: readonly TensorSource[];
  readonly byteLength: number;
}

/** Options of `writeSafetensors`. */
export interface WriteSafetensorsOptions extends JobOptions {
  /** Called when all bytes are written. If it throws, the file is not kept, and what was there stays. */
  readonly beforeReplacing?: () => Promise<void>;
}

/**
 * Writes one file, via a temporary file next to it.
 * @param metadata strings for `__metadata__`.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`; RangeError (a bug in the caller) if names repeat or bytes do
 * not match a shape.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>> = PYTORCH_METADATA,
  { beforeReplacing, ...job }: WriteSafetensorsOptions = {},
): Promise<void> {
  const total = tensors.reduce((sum, tensor) => sum + byteLengthOf(tensor), 0);
  await writeOne(path, tensors, metadata, new WriteProgress(total, job), beforeReplacing);
}

/**
 * Writes the weights of a folder: `model.safetensors`, or, if they exceed `maxShardBytes`,
 * `model-00001-of-0000N.safetensors` … and `model.safetensors.index.json`.
 * @param folder an existing folder.
 * @returns the names of the files, with the index last.
 * @throws what `writeSafetensors` throws.
 */
export async function writeShardedSafetensors(
  folder: string,
  tensors: readonly TensorSource[],
  maxShardBytes: number,
  options: JobOptions = {},
): Promise<readonly string[]> {
  const shards = planShards(tensors, maxShardBytes);
  const totalBytes = shards.reduce((sum, shard) => sum + shard.byteLength, 0);
  const progress = new WriteProgress(totalBytes, options);
  for (const shard of shards) await writeOne(join(folder, shard.fileName), shard.tensors, PYTORCH_METADATA, progress);
  const fileNames = shards.map((shard) => shard.fileName);
  if (shards.length === 1) return fileNames;
  await writeFileAtomically(join(folder, INDEX_FILE_NAME), (temporary) => writeFile(temporary, shardIndexJson(shards)));
  return [...fileNames, INDEX_FILE_NAME];
}

/**
 * Assigns tensors to files in the given order, starting a new file when the next tensor would exceed `maxShardBytes`; a
 * larger tensor gets its own file.
 */
export function planShards(tensors: readonly TensorSource[], maxShardBytes: number): readonly ShardPlan[] {
  if (!(maxShardBytes > 0)) throw new RangeError(`maxShardBytes must be positive, not ${maxShardBytes}`);
  checkNames(tensors);
  const groups: { tensors: TensorSource[]; byteLength: number }[] = [];
  let current: { tensors: TensorSource[]; byteLength: number } | undefined;
  for (const tensor of tensors) {
    const byteLength = byteLengthOf(tensor);
    if (current === undefined || current.byteLength + byteLength > maxShardBytes) {
      current = { tensors: [], byteLength: 0 };
      groups.push(current);
    }
    current.tensors.push(tensor);
    current.byteLength += byteLength;
  }
  if (groups.length <= 1) return [{ fileName: SINGLE_FILE_NAME, tensors, byteLength: current?.byteLength ?? 0 }];
  const padded = (n: number) => String(n).padStart(5, "0");
  return groups.map(({ tensors, byteLength }, i) => {
    return { fileName: `model-${padded(i + 1)}-of-${padded(groups.length)}.safetensors`, tensors, byteLength };
  });
}

function shardIndexJson(shards: readonly ShardPlan[]): string {
  const placed = shards.flatMap((shard) => shard.tensors.map((tensor) => [tensor.name, shard.fileName] as const));
  const index = {
    metadata: {
      total_parameters: shards.flatMap((shard) => shard.tensors).reduce((sum, tensor) => sum + elementCount(tensor.shape), 0),
      total_size: shards.reduce((sum, shard) => sum + shard.byteLength, 0),
    },
    weight_map: Object.fromEntries(placed.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
  return `${JSON.stringify(index, null, 2)}\n`;
}

async function writeOne(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
  progress: WriteProgress,
  beforeReplacing?: () => Promise<void>,
): Promise<void> {
  checkNames(tensors);
  // Wider dtypes first, as in the reference implementation: every tensor then starts at a multiple of its element size.
  const ordered = tensors.toSorted((a, b) => SAFETENSORS_DTYPE_BITS[b.dtype] - SAFETENSORS_DTYPE_BITS[a.dtype]);
  const header = encodeHeader(ordered, metadata);
  await writeFileAtomically(path, async (temporary) => {
    const handle = await open(temporary, "w");
    try {
      await writeAll(handle, header);
      await pause(progress.signal);
      for (const tensor of ordered) {
        let given = 0;
        for await (const piece of tensor.pieces()) {
          await writeAll(handle, piece);
          given += piece.byteLength;
          progress.add(piece.byteLength);
          await pause(progress.signal);
        }
        if (given !== byteLengthOf(tensor))
          throw new RangeError(`tensor '${tensor.name}' has ${given} bytes, its shape needs ${byteLengthOf(tensor)}`);
      }
    } finally {
      await handle.close();
    }
    await beforeReplacing?.();
  });
}

/** The header's length and JSON, padded with spaces. */
function encodeHeader(tensors: readonly TensorSource[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(["__metadata__", metadata]);
  let position = 0;
  for (const tensor of tensors) {
    const end = position + byteLengthOf(tensor);
    entries.push([tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [position, end] }]);
    position = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const length = Math.ceil(json.byteLength / HEADER_ALIGNMENT_BYTES) * HEADER_ALIGNMENT_BYTES;
  if (length > MAX_HEADER_BYTES) throw new RangeError(`a header of ${length} bytes exceeds the format's ${MAX_HEADER_BYTES}`);
  const header = new Uint8Array(HEADER_LENGTH_BYTES + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, HEADER_LENGTH_BYTES);
  return header;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) done += (await handle.write(bytes, done)).bytesWritten;
}

function byteLengthOf(tensor: TensorSource): number {
  const byteLength = tensorByteLength(tensor.dtype, tensor.shape);
  if (byteLength === null) throw new RangeError(`tensor '${tensor.name}': shape [${tensor.shape.join(", ")}] has no exact size`);
  return byteLength;
}

function checkNames(tensors: readonly TensorSource[]): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name) || name === "__metadata__" || name === "") throw new RangeError(`tensor name '${name}' is not available`);
    names.add(name);
  }
}

/** Progress of one call over all files. */
class WriteProgress {
  readonly signal: AbortSignal | undefined;
  readonly #total: number;
  readonly #onProgress: JobOptions["onProgress"];
  #done = 0;

  constructor(total: number, options: JobOptions) {
    this.#total = total;
    this.#onProgress = options.onProgress;
    this.signal = options.signal;
  }

  add(bytes: number): void {
    this.#done += bytes;
    this.#onProgress?.({ stage: "writing", done: this.#done, total: this.#total, unit: "bytes" });
  }
}
