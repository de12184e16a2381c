/**
 * @file The Python package reads the safetensors that cusprun writes.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type TensorSource, writeSafetensors, writeShardedSafetensors } from "../../src/checkpoint/safetensors/write.ts";
import { inPieces } from "../support/in-pieces.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { runPython } from "./python.ts";

type Seen = Readonly<
  Record<
    string,
    {
      readonly metadata: Readonly<Record<string, string>> | null;
      readonly tensors: Readonly<
        Record<string, { readonly dtype: string; readonly shape: readonly number[]; readonly sha256: string }>
      >;
    }
  >
>;

const TORCH_DTYPES = { BF16: "bfloat16", F16: "float16", F32: "float32", I64: "int64" } as const;

const sources = (
  [
    ["a", "BF16", [3, 5]],
    ["b", "F16", [7]],
    ["c", "F32", [2, 3, 4]],
    ["d", "I64", [2]],
    ["ü", "F32", []],
    ["e", "F32", [0, 3]],
  ] as const
).map(([name, dtype, shape]): TensorSource & { readonly dtype: keyof typeof TORCH_DTYPES; readonly bytes: Uint8Array } => {
  const elements = shape.reduce((product: number, size) => product * size, 1);
  const bytes = new Uint8Array(elements * { BF16: 2, F16: 2, F32: 4, I64: 8 }[dtype]).map((_, i) => (i * 7) % 60);
  return { name, dtype, shape, bytes, pieces: () => inPieces(bytes) };
});

test("one file and shards, bit for bit", async () => {
  await withFolder(async (folder) => {
    await writeSafetensors(join(folder, "one.safetensors"), sources, { note: 'say "hi"' });
    const shards = (await writeShardedSafetensors(folder, sources, 50)).filter((name) => name.endsWith(".safetensors"));
    const paths = ["one.safetensors", ...shards].map((name) => join(folder, name));
    const seen = await runPython<Seen>("../reference/make_safetensors_goldens.py", ["--check", ...paths]);
    const expected: [string, unknown][] = [];
    for (const { name, dtype, shape, bytes } of sources) {
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      expected.push([name, expect.objectContaining({ dtype: TORCH_DTYPES[dtype], shape, sha256 })]);
    }
    expect(seen["one.safetensors"]).toEqual({ metadata: { note: 'say "hi"' }, tensors: Object.fromEntries(expected) });
    expect(shards.length).toBeGreaterThan(1);
    expect(Object.assign({}, ...shards.map((name) => seen[name]!.tensors))).toEqual(Object.fromEntries(expected));
    for (const name of shards) expect(seen[name]!.metadata).toEqual({ format: "pt" });
  });
});
