/**
 * @file Tensors that an architecture wants in one: q, k and v of a block, rows one after the other, as `attn_qkv`.
 */

import type { GgufTensorSource } from "./writer.ts";

/** A block's tensor that is fused, in the order of the rows. */
const FUSED = /^(blk\.\d+\.)attn_([qkv])\.weight$/;

/**
 * Joins q, k and v of every block, which stand in this order and have one type; all other tensors stay.
 * @param sources in the order of the file.
 */
export function fuseQueryKeyValue(sources: readonly GgufTensorSource[]): GgufTensorSource[] {
  const parts = new Map<string, GgufTensorSource[]>();
  const kept: (GgufTensorSource | string)[] = [];
  for (const source of sources) {
    const [, block, part] = FUSED.exec(source.name) ?? [];
    if (block === undefined) kept.push(source);
    else if (part === "q") {
      parts.set(block, [source]);
      kept.push(block);
    } else parts.get(block)!.push(source);
  }
  return kept.map((entry) => (typeof entry === "string" ? fuse(`${entry}attn_qkv.weight`, parts.get(entry)!) : entry));
}

function fuse(name: string, parts: readonly GgufTensorSource[]): GgufTensorSource {
  const [first] = parts;
  if (first === undefined || parts.some(({ type, shape }) => type !== first.type || shape[1] !== first.shape[1])) {
    throw new RangeError(`${name}: parts of unlike type or row length`);
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
