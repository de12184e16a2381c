/**
 * @file GGUF files of tiny models, written as llama.cpp's converter writes them (tests/support/gguf-writer.ts): what is
 * read equals what was written, with Hugging Face's names and in its order.
 */

import type { FileHandle } from "node:fs/promises";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import type { GgufTensor } from "../../../src/checkpoint/gguf/layout.ts";
import { interleavedRow } from "../../../src/checkpoint/gguf/names.ts";
import { readRows } from "../../../src/checkpoint/gguf/rows.ts";
import { CusprunError } from "../../../src/errors.ts";
import { narrowFromFloat32 } from "../../../src/float-convert.ts";
import { ggufOfTinyModel, writeGguf, type WrittenGguf } from "../../support/gguf-writer.ts";
import { allowRefusal, errorOf, withFile } from "../../support/temporary-gguf.ts";
import { tinyModel, type TinyTensor } from "../../support/tiny-models.ts";

const FAMILIES = ["llama", "qwen2", "qwen3", "gemma3"] as const;

function withGguf<T>(file: WrittenGguf, use: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  return withFile(writeGguf(file), async (path) => {
    const checkpoint = await openGguf(path);
    try {
      return await use(checkpoint);
    } finally {
      await checkpoint.close();
    }
  });
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

/** Norm weights after 1 was added and subtracted in f32; other values unchanged. */
function expectedValues(name: string, { values }: TinyTensor, normOffset: number): Float32Array {
  return name.includes("norm") && normOffset === 1 ? values.map((value) => Math.fround(Math.fround(value + 1) - 1)) : values;
}

describe.each(FAMILIES)("a GGUF file of family %s", (family) => {
  // Every combination of biases, norms and head counts of the family; llama with biases on q, k, v and o.
  const model = tinyModel(family, { attentionBias: family === "llama" });
  const normOffset = family === "gemma3" ? 1 : 0;

  it("has every tensor with its name, shape, values and bytes", async () => {
    await withGguf(ggufOfTinyModel(model), async (checkpoint) => {
      expect([...checkpoint.tensors.keys()]).toEqual([...model.tensors.keys()]);
      for (const [name, tensor] of model.tensors) {
        const expected = bytesOf(expectedValues(name, tensor, normOffset));
        expect(checkpoint.tensors.get(name)).toMatchObject({
          name,
          shape: tensor.shape,
          dtype: "F32",
          byteLength: expected.length,
        });
        expect(bytesOf(await checkpoint.readFloat32(name)).equals(expected)).toBe(true);
        expect(Buffer.from(await checkpoint.readBytes(name)).equals(expected)).toBe(true);
      }
    });
  });

  it("has F16 and BF16 bytes in Hugging Face's order", async () => {
    for (const [dtype, typeId] of [
      ["F16", 1],
      ["BF16", 30],
    ] as const) {
      const written = ggufOfTinyModel(model);
      const narrow = (bytes: Uint8Array): Uint8Array => narrowFromFloat32(new Float32Array(Uint8Array.from(bytes).buffer), dtype);
      const tensors = written.tensors.map((tensor) => ({ ...tensor, typeId, bytes: narrow(tensor.bytes) }));
      await withGguf({ ...written, tensors }, async (checkpoint) => {
        expect(checkpoint.configJson["dtype"]).toBe(dtype === "F16" ? "float16" : "bfloat16");
        for (const [name, { values }] of model.tensors) {
          if (normOffset === 1 && name.includes("norm")) continue;
          expect(Buffer.from(await checkpoint.readBytes(name)).equals(narrowFromFloat32(values, dtype))).toBe(true);
        }
        const norm = "model.layers.1.input_layernorm.weight";
        expect(await checkpoint.readBytes(norm)).toEqual(narrowFromFloat32(await checkpoint.readFloat32(norm), dtype));
      });
    }
  });

  it("reads any range of rows", async () => {
    await withGguf(ggufOfTinyModel(model), async (checkpoint) => {
      const range = fc.constantFrom(...model.tensors.keys()).chain((name) => {
        const row = fc.nat(model.tensors.get(name)!.shape[0]!);
        return fc.tuple(fc.constant(name), row, row);
      });
      await fc.assert(
        fc.asyncProperty(range, async ([name, one, other]) => {
          const [start, end] = [Math.min(one, other), Math.max(one, other)];
          const tensor = model.tensors.get(name)!;
          const columns = tensor.shape[1] ?? 1;
          const expected = expectedValues(name, tensor, normOffset).slice(start * columns, end * columns);
          expect(await checkpoint.readFloat32(name, { start, end })).toEqual(expected);
        }),
        { numRuns: 100 },
      );
    });
  });

  it("refuses rows and names that do not exist", async () => {
    await withGguf(ggufOfTinyModel(model), async (checkpoint) => {
      const name = "model.layers.0.self_attn.q_proj.weight";
      for (const rows of [
        { start: -1, end: 2 },
        { start: 2, end: 1 },
        { start: 0, end: 49 },
        { start: 0.5, end: 1 },
      ]) {
        await expect(checkpoint.readFloat32(name, rows)).rejects.toThrow(RangeError);
      }
      await expect(checkpoint.readFloat32("model.embed")).rejects.toThrow(RangeError);
      await expect(checkpoint.readBytes("toString")).rejects.toThrow(RangeError);
    });
  });
});

describe("interleavedRow", () => {
  it("puts the halves of each head side by side", () => {
    expect(Array.from({ length: 8 }, (_, row) => interleavedRow(row, 4))).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  });
});

describe("readRows", () => {
  /** Records the ranges that are read; byte i of the file is i modulo 256. */
  function recordingFile(): { file: FileHandle; reads: [start: number, end: number][] } {
    const reads: [number, number][] = [];
    const read = async (target: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> => {
      reads.push([position, position + length]);
      for (let i = 0; i < length; i++) target[offset + i] = (position + i) % 256;
      return { bytesRead: length };
    };
    return { file: { read } as unknown as FileHandle, reads };
  }

  const tensor: GgufTensor = { name: "t", shape: [64, 32], dtype: "Q8_0", startByte: 1000, byteLength: 64 * 34 };

  it("reads the bytes of the rows and no others", async () => {
    const { file, reads } = recordingFile();
    await readRows(file, tensor, { start: 5, end: 7 }, null, "t.gguf", () => {});
    expect(reads).toEqual([[1000 + 5 * 34, 1000 + 7 * 34]]);
  });

  it("reads whole heads if they are interleaved", async () => {
    const { file, reads } = recordingFile();
    const firsts: number[] = [];
    await readRows(file, tensor, { start: 5, end: 9 }, 8, "t.gguf", (bytes) => {
      for (let at = 0; at < bytes.length; at += 34) firsts.push(bytes[at]!);
    });
    expect(reads).toEqual([[1000, 1000 + 16 * 34]]);
    expect(firsts).toEqual([5, 6, 7, 8].map((row) => (1000 + interleavedRow(row, 8) * 34) % 256));
  });

  it("reads nothing for an empty range", async () => {
    const { file, reads } = recordingFile();
    await readRows(file, tensor, { start: 64, end: 64 }, 8, "t.gguf", () => expect.unreachable());
    expect(reads).toEqual([]);
  });

  it("reads a large tensor in pieces that fit together", async () => {
    const { file, reads } = recordingFile();
    const large: GgufTensor = { name: "t", shape: [3000, 256], dtype: "F32", startByte: 0, byteLength: 3000 * 1024 };
    const rows: number[] = [];
    await readRows(file, large, { start: 1, end: 2999 }, 8, "t.gguf", (bytes, firstRow) => {
      expect(firstRow).toBe(rows.length);
      for (let at = 0; at < bytes.length; at += 1024) rows.push(at);
    });
    expect(rows).toHaveLength(2998);
    expect(reads.length).toBeGreaterThan(1);
    expect(reads.at(-1)![1]).toBe(3000 * 1024);
  });

  it("reports a file that has become shorter", async () => {
    const file = { read: async () => ({ bytesRead: 0 }) } as unknown as FileHandle;
    const error = await errorOf(readRows(file, tensor, { start: 0, end: 1 }, null, "t.gguf", () => {}));
    expect(error.code).toBe("GGUF_TRUNCATED");
    expect(error.message).toContain("t.gguf");
  });
});

describe("a damaged file", () => {
  const model = tinyModel("llama", {
    hiddenSize: 8,
    intermediateSize: 4,
    numHiddenLayers: 1,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
    headDim: 4,
    vocabSize: 3,
  });
  const tiny = ggufOfTinyModel(model);
  const tokenizer: WrittenGguf["metadata"] = [
    ["tokenizer.ggml.model", ["string", "llama"]],
    ["tokenizer.ggml.tokens", ["array", "string", ["<unk>", "a", "▁b"]]],
    ["tokenizer.ggml.scores", ["array", "float32", [0, -1, -2]]],
    ["tokenizer.ggml.token_type", ["array", "int32", [2, 1, 1]]],
  ];
  const whole = writeGguf({ ...tiny, metadata: [...tiny.metadata, ...tokenizer] });
  const dataBytes = [...model.tensors.values()].reduce((sum, { values }) => sum + Math.ceil(values.byteLength / 32) * 32, 0);
  const headerBytes = whole.length - dataBytes;

  /** Opens the file and reads all of it. */
  const readAll = (bytes: Uint8Array): Promise<void> =>
    withFile(bytes, async (path) => {
      const checkpoint = await openGguf(path);
      try {
        for (const name of checkpoint.tensors.keys()) await checkpoint.readFloat32(name);
        await checkpoint.readTokenizerFiles();
      } finally {
        await checkpoint.close();
      }
    });

  it("is read completely if it is undamaged", async () => {
    await expect(readAll(whole)).resolves.toBeUndefined();
  });

  it("is refused with a coded error wherever it is truncated", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 33), async (length) => {
        expect(await errorOf(readAll(whole.subarray(0, length)))).toBeInstanceOf(CusprunError);
      }),
      { numRuns: 150 },
    );
  });

  it("is read, or refused with a coded error, with any bytes of its header changed", async () => {
    const flips = fc.array(fc.tuple(fc.nat(headerBytes - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const property = fc.asyncProperty(flips, async (changes) => {
      const bytes = whole.slice();
      for (const [at, byte] of changes) bytes[at] = byte;
      await allowRefusal(readAll(bytes));
    });
    await expect(fc.assert(property, { numRuns: 400 })).resolves.toBeUndefined();
  });

  it("is refused if it does not exist", async () => {
    const error = await errorOf(openGguf("no/such/model.gguf"));
    expect(error.code).toBe("MODEL_FILE_MISSING");
    expect(error.message).toContain("no/such/model.gguf");
  });
});
