/**
 * @file An expert that is not written yet, as a checkpoint, so that everything that reads checkpoints, such as the
 * writers of other formats, can read it.
 */

import type { Checkpoint, GgufOrigin, TensorInfo } from "../checkpoint/checkpoint.ts";
import { ggmlByteLength } from "../checkpoint/gguf/ggml-types.ts";
import { narrowFromFloat32 } from "../float-convert.ts";
import type { PlannedCut } from "../selection/plan.ts";
import { elementCount } from "../tensor.ts";
import type { Expert, ExpertTensor } from "./expert.ts";
import { expertTokenizerFiles, plannedTokenIds } from "./expert-tokenizer.ts";

/**
 * Presents an expert as a checkpoint. Closing it closes nothing: the checkpoint that it was cut from must stay open.
 * @param base the checkpoint that the plan was applied to.
 */
export function expertCheckpoint(base: Checkpoint, plan: PlannedCut, expert: Expert): Checkpoint {
  const tensors = new Map(expert.tensors.map((tensor) => [tensor.name, tensor]));
  const find = (name: string): ExpertTensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new RangeError(`${base.path} has no tensor '${name}'`);
    return tensor;
  };
  return {
    path: base.path,
    format: base.format,
    config: expert.config,
    configJson: expert.configJson,
    generationConfigJson: expert.generationConfigJson,
    tensors: new Map(expert.tensors.map((tensor) => [tensor.name, infoOf(tensor)])),
    readFloat32: (name, rows) => find(name).readFloat32(rows),
    readBytes: async (name, rows) => {
      const tensor = find(name);
      const { dtype, readBytes } = tensor;
      if (readBytes !== null) return readBytes(rows);
      if (dtype === "F32" || dtype === "F16" || dtype === "BF16") return narrowFromFloat32(await tensor.readFloat32(rows), dtype);
      throw new RangeError(`tensor '${name}' is ${dtype}; only float dtypes have bytes of their own`);
    },
    readImportance: async (name) => (await find(name).readImportance?.()) ?? null,
    readTokenizerFiles: () => expertTokenizerFiles(base, plan),
    ...(base.gguf !== undefined && { gguf: originOf(base.gguf, plan, find) }),
    close: () => Promise.resolve(),
  };
}

/**
 * The tensor after the cut. `byteLength` is what its type would take; rows that no longer fit whole blocks count as if
 * they did.
 */
function infoOf({ name, shape, dtype, file }: ExpertTensor): TensorInfo {
  const byteLength = Math.ceil(ggmlByteLength(dtype, elementCount(shape)));
  return { name, shape, dtype, byteLength, file };
}

function originOf(origin: GgufOrigin, plan: PlannedCut, find: (name: string) => ExpertTensor): GgufOrigin {
  return {
    metadata: origin.metadata,
    readValue: (key) => origin.readValue(key),
    rowsAsStored: (name) => find(name).rowsAsStored,
    tokenIds: plannedTokenIds(plan),
  };
}
