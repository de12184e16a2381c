/**
 * @file Joins q, k and v of a block into the one tensor that some architectures need, row after row.
 */

import { ggufBlockTensorName, isFusedRole, parseGgufBlockTensorName } from "../../checkpoint/gguf/names.ts";
import type { GgufTensorSource } from "./writer.ts";

/**
 * Joins q, k and v of every block, which are in this order and have one type; all other tensors are kept.
 * @param sources in the order of the file.
 */
export function fuseQueryKeyValue(sources: readonly GgufTensorSource[]): GgufTensorSource[] {
  const parts = new Map<number, GgufTensorSource[]>();
  const kept: (GgufTensorSource | number)[] = [];
  for (const source of sources) {
    const block = parseGgufBlockTensorName(source.name);
    if (block === null || !isFusedRole(block.role)) kept.push(source);
    else if (block.role === "q") {
      parts.set(block.layer, [source]);
      kept.push(block.layer);
    } else parts.get(block.layer)!.push(source);
  }
  return kept.map((entry) => (typeof entry === "number" ? fuse(ggufBlockTensorName(entry, "qkv"), parts.get(entry)!) : entry));
}

function fuse(name: string, parts: readonly GgufTensorSource[]): GgufTensorSource {
  const [first] = parts;
  if (first === undefined || parts.some(({ type, shape }) => type !== first.type || shape[1] !== first.shape[1])) {
    throw new RangeError(`${name}: parts of different types or row lengths`);
  }
  return {
    name,
    shape: [parts.reduce((rows, { shape }) => rows + shape[0]!, 0), first.shape[1]!],
    type: first.type,
    pieces: async function* () {
      for (const part of parts) yield* part.pieces();
    },
  };
}
