/**
 * @file GGUF files that are cut and written as GGUF again, and their bytes before and after.
 */

import { readFile } from "node:fs/promises";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import type { GgufHeader } from "../../src/checkpoint/gguf/header.ts";
import { openGguf } from "../../src/checkpoint/gguf/open-gguf.ts";
import { exportGguf, type WrittenGgufFile } from "../../src/export/gguf/export-gguf.ts";
import type { PrunePlan } from "../../src/selection/plan.ts";
import { cutExpert, type Expert } from "../../src/surgery/expert.ts";
import { expertCheckpoint } from "../../src/surgery/expert-checkpoint.ts";
import { readHeaderOf, withFile } from "./temporary-gguf.ts";

/** Sizes of a tiny model: D, F and H·K are multiples of 32, as blocks need; H·K = D, as qwen2 needs. */
export const BLOCK_SIZES = { hiddenSize: 64, intermediateSize: 96, numAttentionHeads: 8, numKeyValueHeads: 4, headDim: 8 };

/** A file: its header and all of its bytes. */
export interface GgufBytes {
  readonly header: GgufHeader;
  readonly bytes: Buffer;
}

/** A file before and after a cut. */
export interface CutGguf {
  readonly before: GgufBytes;
  readonly after: GgufBytes;
  readonly expert: Expert;
  readonly source: Checkpoint;
  readonly back: Checkpoint;
  readonly written: WrittenGgufFile;
}

/** Cuts a file by a plan, writes the result as GGUF, and passes both on. */
export async function cutGguf(bytes: Uint8Array, plan: PrunePlan, use: (made: CutGguf) => Promise<void>): Promise<void> {
  await withFile(bytes, async (path) => {
    const source = await openGguf(path);
    const expert = cutExpert(source, plan);
    const out = `${path}.out.gguf`;
    const written = await exportGguf(expertCheckpoint(source, plan, expert), out);
    const back = await openGguf(out);
    try {
      await use({ before: await readGguf(path), after: await readGguf(out), expert, source, back, written });
    } finally {
      await source.close();
      await back.close();
    }
  });
}

/** The bytes of a tensor. */
export function tensorBytes({ header, bytes }: GgufBytes, name: string): Buffer {
  const { startByte, byteLength } = header.tensors.get(name)!;
  return bytes.subarray(startByte, startByte + byteLength);
}

/** The bytes of a key's value with its type. */
export function valueBytes({ header, bytes }: GgufBytes, key: string): Buffer {
  const { startByte, endByte } = header.valueRanges.get(key)!;
  return bytes.subarray(startByte, endByte);
}

/** The bytes of rows of a tensor, in the file's own order. */
export function rowsOf(file: GgufBytes, name: string, kept: readonly number[]): Buffer {
  const { shape, byteLength } = file.header.tensors.get(name)!;
  const rowBytes = byteLength / shape[0]!;
  return Buffer.concat(kept.map((row) => tensorBytes(file, name).subarray(row * rowBytes, (row + 1) * rowBytes)));
}

/** Reads a file. */
export async function readGguf(path: string): Promise<GgufBytes> {
  return { header: await readHeaderOf(path), bytes: await readFile(path) };
}
