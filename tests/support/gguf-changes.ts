/**
 * @file GGUF files of tiny models with changed keys and tensors, as opened by cusprun.
 */

import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { openGguf } from "../../src/checkpoint/gguf/open-gguf.ts";
import { ggufOfTinyModel, type TypedValue, writeGguf, type WrittenGguf, type WrittenTensor } from "./gguf-writer.ts";
import { withFile } from "./temporary-gguf.ts";
import type { TinyFamily } from "./tiny-families.ts";
import { tinyModel, type TinySizes } from "./tiny-models.ts";

/** Keys to set or, with null, to leave out. */
type KeyChanges = Readonly<Record<string, TypedValue | null>>;

/** Changes to a tiny model and to its file. */
export interface GgufChanges {
  readonly family?: TinyFamily;
  readonly sizes?: Partial<TinySizes>;
  readonly keys?: KeyChanges;
  readonly tensors?: (tensors: WrittenTensor[]) => WrittenTensor[];
}

function ggufWith({ family = "llama", sizes = {}, keys = {}, tensors = (each) => each }: GgufChanges): WrittenGguf {
  const written = ggufOfTinyModel(tinyModel(family, sizes));
  const metadata = new Map(written.metadata);
  for (const [key, value] of Object.entries(keys)) {
    if (value === null) metadata.delete(key);
    else metadata.set(key, value);
  }
  return { metadata: [...metadata], tensors: tensors(written.tensors) };
}

/** Writes the file, opens it, and closes it again. */
export function openChanged(changes: GgufChanges): Promise<Checkpoint> {
  return withFile(writeGguf(ggufWith(changes)), async (path) => {
    const checkpoint = await openGguf(path);
    await checkpoint.close();
    return checkpoint;
  });
}

/** A vector of F32. */
export function f32Tensor(name: string, values: readonly number[]): WrittenTensor {
  return { name, sizes: [values.length], typeId: 0, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}
