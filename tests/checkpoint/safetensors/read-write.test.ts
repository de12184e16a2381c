/**
 * @file safetensors files against the Python package: files that it wrote are read bit for bit
 * (tests/reference/make_safetensors_goldens.py); any written tensors are read back; shards are the same as those of
 * huggingface_hub. tests/interop/safetensors.test.ts tests that Python reads cusprun's files.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SAFETENSORS_DTYPE_BITS, type SafetensorsDType, tensorByteLength } from "../../../src/checkpoint/safetensors/header.ts";
import { SafetensorsFile } from "../../../src/checkpoint/safetensors/read.ts";
import { openWeights } from "../../../src/checkpoint/safetensors/shards.ts";
import {
  inOnePiece,
  planShards,
  type TensorSource,
  writeSafetensors,
  writeShardedSafetensors,
} from "../../../src/checkpoint/safetensors/write.ts";
import { inPieces } from "../../support/in-pieces.ts";
import { withFolder } from "../../support/temporary-folder.ts";

interface Golden {
  readonly max_shard_bytes: number;
  readonly tensors: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly sha256: string; readonly float32_sha256?: string }>
  >;
  readonly sharded_names: readonly string[];
  readonly sharded_files: Readonly<Record<string, readonly string[]>>;
}

const fixtures = fileURLToPath(new URL("../../fixtures/safetensors/", import.meta.url));
const golden = JSON.parse(readFileSync(join(fixtures, "golden.json"), "utf8")) as Golden;

function sha(array: ArrayBufferView): string {
  return createHash("sha256")
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest("hex");
}

function source(name: string, dtype: SafetensorsDType, shape: readonly number[], bytes: Uint8Array): TensorSource {
  return { name, dtype, shape, pieces: () => inPieces(bytes) };
}

describe("a file written by the Python package", () => {
  test("has every tensor's shape, bytes and values", async () => {
    const file = await SafetensorsFile.open(join(fixtures, "golden.safetensors"));
    expect(file.metadata).toEqual({ format: "pt", note: 'say "hi"' });
    expect([...file.tensors.keys()].toSorted()).toEqual(Object.keys(golden.tensors).toSorted());
    for (const [name, { shape, sha256, float32_sha256 }] of Object.entries(golden.tensors)) {
      expect(file.tensors.get(name)?.shape).toEqual(shape);
      expect(sha(await file.readBytes(name))).toBe(sha256);
      if (float32_sha256 !== undefined) expect(sha(await file.readFloat32(name))).toBe(float32_sha256);
    }
    await file.close();
  });

  test.each(["a.bf16", "b.f16", "c.f32"])("%s: rows equal those of the whole tensor", async (name) => {
    const file = await SafetensorsFile.open(join(fixtures, "golden.safetensors"));
    const columns = file.tensors.get(name)!.shape[1]!;
    const whole = await file.readFloat32(name);
    expect(await file.readFloat32(name, { start: 1, end: 3 })).toEqual(whole.slice(columns, 3 * columns));
    expect(await file.readFloat32(name, { start: 2, end: 2 })).toHaveLength(0);
    const bytes = await file.readBytes(name);
    const rowBytes = bytes.length / file.tensors.get(name)!.shape[0]!;
    expect(await file.readRows(name, { start: 1, end: 3 })).toEqual(bytes.slice(rowBytes, 3 * rowBytes));
    await file.close();
  });

  test("an unknown name or range is a bug in the caller", async () => {
    const file = await SafetensorsFile.open(join(fixtures, "golden.safetensors"));
    await expect(file.readBytes("no")).rejects.toThrow(RangeError);
    await expect(file.readBytes("c.f32", 0, 469)).rejects.toThrow(RangeError);
    await expect(file.readFloat32("c.f32", { start: 0, end: 14 })).rejects.toThrow(RangeError);
    await expect(file.readFloat32("c.f32", { start: 2, end: 1 })).rejects.toThrow(RangeError);
    await expect(file.readFloat32("g.i64")).rejects.toThrow(RangeError);
    await file.close();
  });

  test("shards and their index", async () => {
    const { files, fileOfTensor } = await openWeights(join(fixtures, "sharded"));
    for (const name of golden.sharded_names) {
      expect(sha(await fileOfTensor.get(name)!.readBytes(name))).toBe(golden.tensors[name]!.sha256);
    }
    expect([...fileOfTensor.keys()].toSorted()).toEqual(golden.sharded_names.toSorted());
    await Promise.all(files.map((file) => file.close()));
  });
});

describe("writing", () => {
  const dtypes = Object.keys(SAFETENSORS_DTYPE_BITS) as SafetensorsDType[];
  const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }).filter((text) => text !== "__metadata__");
  const tensor = fc
    .record({
      name,
      dtype: fc.constantFrom(...dtypes),
      shape: fc.array(fc.nat(5), { maxLength: 4 }),
      seed: fc.nat(255),
    })
    .filter(({ dtype, shape }) => tensorByteLength(dtype, shape) !== null);
  const tensorList = fc.uniqueArray(tensor, { selector: (one) => one.name, maxLength: 8 });

  test("is read back, for any tensors", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "m.safetensors");
      await fc.assert(
        fc.asyncProperty(tensorList, fc.dictionary(fc.string(), fc.string()), async (tensors, metadata) => {
          const sources = tensors.map(({ name, dtype, shape, seed }) => {
            const bytes = new Uint8Array(tensorByteLength(dtype, shape)!).fill(seed);
            return { ...source(name, dtype, shape, bytes), bytes };
          });
          await writeSafetensors(path, sources, metadata);
          const file = await SafetensorsFile.open(path);
          expect(file.metadata).toEqual(metadata);
          expect(file.tensors.size).toBe(tensors.length);
          for (const one of sources) {
            const { dtype, shape, startByte } = file.tensors.get(one.name)!;
            expect([dtype, shape]).toEqual([one.dtype, one.shape]);
            expect(startByte % Math.max(1, SAFETENSORS_DTYPE_BITS[dtype] / 8)).toBe(0);
            expect(await file.readBytes(one.name)).toEqual(one.bytes);
          }
          await file.close();
        }),
        { numRuns: 100 },
      );
    });
  });

  test("makes the same shards as huggingface_hub, with a valid index", async () => {
    const original = await SafetensorsFile.open(join(fixtures, "golden.safetensors"));
    const sources = golden.sharded_names.map((name) => {
      const { dtype, shape } = original.tensors.get(name)!;
      return { name, dtype, shape, pieces: inOnePiece(() => original.readBytes(name)) };
    });
    await withFolder(async (folder) => {
      const seen: number[] = [];
      const names = await writeShardedSafetensors(folder, sources, golden.max_shard_bytes, {
        onProgress: ({ done }) => seen.push(done),
      });
      expect(names).toEqual([...Object.keys(golden.sharded_files), "model.safetensors.index.json"]);
      expect((await readdir(folder)).toSorted()).toEqual(names.toSorted());
      const index = JSON.parse(await readFile(join(folder, "model.safetensors.index.json"), "utf8")) as Record<string, unknown>;
      const python = JSON.parse(await readFile(join(fixtures, "sharded/model.safetensors.index.json"), "utf8")) as Record<
        string,
        unknown
      >;
      expect(index["weight_map"]).toEqual(python["weight_map"]);
      expect(index["metadata"]).toMatchObject(python["metadata"] as object);
      expect(seen.at(-1)).toBe(712);
      const { files, fileOfTensor } = await openWeights(folder);
      for (const { name } of sources)
        expect(sha(await fileOfTensor.get(name)!.readBytes(name))).toBe(golden.tensors[name]!.sha256);
      await Promise.all(files.map((file) => file.close()));
    });
    await original.close();
  });

  test("writes one file if everything fits", async () => {
    await withFolder(async (folder) => {
      const names = await writeShardedSafetensors(folder, [source("a", "F32", [2], new Uint8Array(8))], 8);
      expect(names).toEqual(["model.safetensors"]);
      expect(await readdir(folder)).toEqual(names);
    });
  });

  test("puts a tensor above the limit in its own shard", () => {
    const shards = planShards(
      ["a", "b", "c"].map((name, i) => source(name, "U8", [[4, 50, 4][i]!], new Uint8Array())),
      10,
    );
    expect(shards.map((shard) => shard.tensors.map(({ name }) => name))).toEqual([["a"], ["b"], ["c"]]);
  });

  test("tensors are read one at a time, and an abort leaves nothing behind", async () => {
    await withFolder(async (folder) => {
      const abort = new AbortController();
      const reads: string[] = [];
      const sources = ["a", "b", "c"].map((name) => ({
        ...source(name, "U8", [4], new Uint8Array(4)),
        pieces: async function* () {
          reads.push(name);
          if (name === "b") abort.abort(new Error("stop"));
          yield new Uint8Array(4);
        },
      }));
      await expect(writeSafetensors(join(folder, "m.safetensors"), sources, {}, { signal: abort.signal })).rejects.toThrow(
        "stop",
      );
      expect(reads).toEqual(["a", "b"]);
      expect(await readdir(folder)).toEqual([]);
    });
  });

  test.each<[string, readonly TensorSource[]]>([
    ["a name twice", [source("a", "U8", [1], new Uint8Array(1)), source("a", "U8", [1], new Uint8Array(1))]],
    ["a reserved name", [source("__metadata__", "U8", [1], new Uint8Array(1))]],
    ["too few bytes", [source("a", "F32", [2], new Uint8Array(4))]],
  ])("%s is a bug in the caller and leaves nothing behind", async (_, sources) => {
    await withFolder(async (folder) => {
      await expect(writeSafetensors(join(folder, "m.safetensors"), sources)).rejects.toThrow(RangeError);
      expect(await readdir(folder)).toEqual([]);
    });
  });
});
