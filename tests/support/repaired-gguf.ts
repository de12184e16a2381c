/**
 * @file GGUF files of tiny models that were cut, repaired and written as GGUF again, with and without importances.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint, StoredDType } from "../../src/checkpoint/checkpoint.ts";
import { openGguf } from "../../src/checkpoint/gguf/open-gguf.ts";
import { exportGguf } from "../../src/export/gguf/export-gguf.ts";
import type { GgufFileType } from "../../src/export/gguf/types.ts";
import { expertCheckpoint } from "../../src/surgery/expert-checkpoint.ts";
import { planOf } from "./plans.ts";
import { quantizedGguf } from "./quantized-gguf.ts";
import { withRepaired } from "./repaired.ts";
import { withFile } from "./temporary-gguf.ts";
import { type TINY_FAMILIES, tinyModel } from "./tiny-models.ts";

/** Rows are whole blocks of 32, those of `down` of 256 after the cut. */
const SIZES = { hiddenSize: 64, intermediateSize: 320, numAttentionHeads: 8, numKeyValueHeads: 4, headDim: 8 };
const REMOVED = { ffn: Array.from({ length: 64 }, (_, i) => 5 * i) };

/** A matrix that was quantised again. */
export interface RequantizedMatrix {
  /** Hugging Face's name. */
  readonly name: string;
  readonly type: StoredDType;
  readonly columns: number;
  /** The values that were quantised; like all below, in Hugging Face's row order. */
  readonly values: Float32Array;
  readonly importance: Float32Array | null;
  /** The bytes in the file. */
  readonly bytes: Uint8Array;
  /** The values that llama.cpp reads from the file, and from one that was written without importances. */
  readonly read: Float32Array;
  readonly readWithout: Float32Array;
}

/** Every matrix that is quantised again if a GGUF file is cut, repaired and written in a type, or as stored. */
export async function requantizedMatrices(
  family: (typeof TINY_FAMILIES)[number],
  type: GgufFileType | null,
): Promise<RequantizedMatrix[]> {
  const home = await mkdtemp(join(tmpdir(), "cusprun-test-"));
  try {
    return await withFile(quantizedGguf(tinyModel(family, SIZES)), async (path) => {
      const source = await openGguf(path);
      const plan = planOf("uniform", [REMOVED, REMOVED, REMOVED]);
      const made = await withRepaired(source, plan, async ({ expert }) => {
        const view = expertCheckpoint(source, plan, expert);
        const withImportances = await writeAndOpen(view, join(home, "with.gguf"), type);
        const without = await writeAndOpen({ ...view, readImportance: async () => null }, join(home, "without.gguf"), type);
        const matrices = await compare(view, withImportances, without);
        await withImportances.close();
        await without.close();
        return matrices;
      });
      await source.close();
      return made;
    });
  } finally {
    await rm(home, { recursive: true });
  }
}

async function writeAndOpen(view: Checkpoint, path: string, type: GgufFileType | null): Promise<Checkpoint> {
  await exportGguf(view, path, type === null ? {} : { type });
  return openGguf(path);
}

async function compare(view: Checkpoint, file: Checkpoint, without: Checkpoint): Promise<RequantizedMatrix[]> {
  const matrices: RequantizedMatrix[] = [];
  for (const { name, shape, dtype } of file.tensors.values()) {
    const isCopied = view.gguf!.rowsAsStored(name) !== null && view.tensors.get(name)!.dtype === dtype;
    if (shape.length === 1 || isCopied) continue;
    matrices.push({
      name,
      type: dtype,
      columns: shape[1]!,
      values: await view.readFloat32(name),
      importance: await view.readImportance!(name),
      bytes: await file.gguf!.rowsAsStored(name)!({ start: 0, end: shape[0]! }),
      read: await file.readFloat32(name),
      readWithout: await without.readFloat32(name),
    });
  }
  return matrices;
}
