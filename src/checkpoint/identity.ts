/**
 * @file The identity of a model: family, tensors, and a digest of every byte of its weights. What is kept between runs,
 * and every plan, belongs to one identity.
 *
 * Each run reads the weights once for it, and checks on the way that they are finite. Nothing of the digest is
 * remembered between runs: sizes and times of files can be restored, and reading costs far less than any step that it
 * guards (docs/LOG.md).
 */

import { createHash } from "node:crypto";
import { CusprunError } from "../errors.ts";
import type { FamilyName } from "../families/family.ts";
import { pause, type JobOptions } from "../progress.ts";
import type { Checkpoint, RowReader, TensorInfo } from "./checkpoint.ts";
import { checkStoredFinite } from "./finite.ts";

/** Raised whenever the digest of the same weights changes. */
const IDENTITY_VERSION = 1;

/** Bytes that are read, checked and hashed at a time. */
const PIECE_BYTES = 2 ** 22;

/** What identifies a model. Plain JSON. */
export interface ModelIdentity {
  readonly family: FamilyName;
  /** Shape of every tensor by Hugging Face name, [out, in]. */
  readonly tensors: Readonly<Record<string, readonly number[]>>;
  /**
   * SHA-256 (hex) over the names, shapes, storage types and stored bytes of all tensors, whatever their order and
   * files.
   */
  readonly weights: string;
}

const known = new WeakMap<Checkpoint, ModelIdentity>();

/**
 * Identifies a model. All weights are read at the first call for a checkpoint.
 * @throws CusprunError `WEIGHTS_NOT_FINITE`, `MODEL_CHANGED`; the checkpoint's errors of reading; the reason of the
 *   signal, if it aborts.
 */
export async function identifyModel(checkpoint: Checkpoint, job: JobOptions = {}): Promise<ModelIdentity> {
  const found = known.get(checkpoint);
  if (found !== undefined) return found;
  const weights = await digestWeights(checkpoint, job);
  const changed = await checkpoint.changedFile?.();
  if (changed) throw modelChanged(changed);
  const tensors = Object.fromEntries([...checkpoint.tensors.values()].map(({ name, shape }) => [name, shape]));
  const identity = { family: checkpoint.config.family, tensors, weights };
  known.set(checkpoint, identity);
  return identity;
}

/**
 * Checks, before a result is kept, that all of it was computed from the same weights. Files whose size and times are
 * the same as when they were opened are not read again.
 * @throws CusprunError `MODEL_CHANGED`.
 */
export async function checkUnchanged(checkpoint: Checkpoint): Promise<void> {
  const changed = await checkpoint.changedFile?.();
  if (!changed) return;
  // Times also change if a file is linked, renamed or touched: only other bytes count.
  const before = known.get(checkpoint)?.weights;
  if (before === undefined || before !== (await digestWeights(checkpoint, {}))) throw modelChanged(changed);
}

async function digestWeights(checkpoint: Checkpoint, { onProgress, signal }: JobOptions): Promise<string> {
  const tensors = [...checkpoint.tensors.values()];
  const total = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let done = 0;
  const digests: (readonly unknown[])[] = [];
  for (const tensor of tensors) {
    const hash = createHash("sha256");
    const { name, shape, dtype, byteLength } = tensor;
    const [rowCount = 1] = shape;
    const pieceRows = Math.max(1, Math.floor(PIECE_BYTES / (byteLength / rowCount)));
    const read = rowReader(checkpoint, tensor);
    for (let start = 0; start < rowCount; start += pieceRows) {
      const bytes = await read({ start, end: Math.min(start + pieceRows, rowCount) });
      checkStoredFinite(tensor, bytes, start);
      hash.update(bytes);
      done += bytes.length;
      onProgress?.({ stage: "checking weights", done, total, unit: "bytes" });
      await pause(signal);
    }
    digests.push([name, shape, dtype, hash.digest("hex")]);
  }
  const sorted = digests.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  return createHash("sha256")
    .update(JSON.stringify([IDENTITY_VERSION, sorted]))
    .digest("hex");
}

function rowReader(checkpoint: Checkpoint, { name }: TensorInfo): RowReader {
  return checkpoint.gguf?.rowsAsStored(name) ?? ((rows) => checkpoint.readBytes(name, rows));
}

/** The error for a file of the model that changes during a run. */
export function modelChanged(path: string): CusprunError {
  return new CusprunError("MODEL_CHANGED", {
    where: path,
    found: "a file that was written to while it was being read",
    expected: "the same weights from the beginning to the end of a run",
    remedy: "Run again, and do not change the model meanwhile",
  });
}
