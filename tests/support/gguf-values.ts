/**
 * @file Compares every tensor of a real GGUF file with the one that transformers loaded from it
 * (tests/reference/make_gguf_goldens.py).
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openGguf } from "../../src/checkpoint/gguf/open-gguf.ts";
import { type RealModelName, realModel } from "./real-models.ts";

interface Golden {
  readonly tied: boolean;
  /** By Hugging Face's name; `rows`: the hash is of only so many rows, from the first. */
  readonly tensors: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly sha256: string; readonly rows?: number }>
  >;
}

/** What `compareValues` found. */
export interface ValueComparison {
  /** Names on only one side. */
  readonly unmatched: readonly string[];
  /** Tensors whose shape or f32 bytes differ. */
  readonly different: readonly string[];
  readonly comparedCount: number;
  readonly tied: { readonly cusprun: boolean; readonly transformers: boolean };
}

/** Reads all tensors and compares names, shapes and the SHA-256 of their values. */
export async function compareValues(model: RealModelName): Promise<ValueComparison> {
  const path = join(import.meta.dirname, `../fixtures/gguf/${model}-values.json`);
  const golden = JSON.parse(readFileSync(path, "utf8")) as Golden;
  const checkpoint = await openGguf(await realModel(model));
  try {
    const names = Object.keys(golden.tensors);
    const unmatched = [
      ...names.filter((name) => !checkpoint.tensors.has(name)),
      ...[...checkpoint.tensors.keys()].filter((name) => !names.includes(name)),
    ];
    const different: string[] = [];
    for (const name of names.filter((each) => checkpoint.tensors.has(each))) {
      const { shape, sha256, rows } = golden.tensors[name]!;
      const values = await checkpoint.readFloat32(name, rows === undefined ? undefined : { start: 0, end: rows });
      const hash = createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");
      const sameShape = checkpoint.tensors.get(name)!.shape.join() === shape.join();
      if (hash !== sha256 || !sameShape) different.push(name);
    }
    const tied = { cusprun: checkpoint.config.tieWordEmbeddings, transformers: golden.tied };
    return { unmatched, different, comparedCount: names.length, tied };
  } finally {
    await checkpoint.close();
  }
}
