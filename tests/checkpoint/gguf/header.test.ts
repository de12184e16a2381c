/**
 * @file The GGUF header: the values that are read, and how every wrong header is refused. Files are written by
 * tests/support/gguf-writer.ts.
 */

import { truncate } from "node:fs/promises";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../../src/errors.ts";
import { ByteWriter, writeGguf, type WrittenGguf, type WrittenTensor } from "../../support/gguf-writer.ts";
import { allowRefusal, errorOf, readHeader, readHeaderOf, withFile } from "../../support/temporary-gguf.ts";

const F32 = 0;
const Q4_0 = 2;
const Q8_0 = 8;

function tensor(name: string, changes: Partial<WrittenTensor> = {}): WrittenTensor {
  return { name, sizes: [4, 2], typeId: F32, bytes: new Uint8Array(32), ...changes };
}

function file(changes: Partial<WrittenGguf> = {}): WrittenGguf {
  return { metadata: [["general.architecture", ["string", "llama"]]], tensors: [tensor("a"), tensor("b")], ...changes };
}

/** The beginning of a header that announces one pair, followed by these bytes. */
function pair(key: string, rest: (writer: ByteWriter) => ByteWriter): Uint8Array {
  const writer = new ByteWriter().bytes(Buffer.from("GGUF")).uint32(3).uint64(0).uint64(1).string(key);
  return rest(writer).bytes(new Uint8Array(64)).finish();
}

const HUGE = 2n ** 60n;

function hugeKey(): Uint8Array {
  return new ByteWriter()
    .bytes(Buffer.from("GGUF"))
    .uint32(3)
    .uint64(0)
    .uint64(1)
    .uint64(HUGE)
    .bytes(new Uint8Array(64))
    .finish();
}

describe("readGgufHeader", () => {
  it("reads every type of value", async () => {
    const { metadata, version } = await readHeader(
      writeGguf({
        metadata: [
          ["u8", ["uint8", 255]],
          ["i8", ["int8", -128]],
          ["u16", ["uint16", 65_535]],
          ["i16", ["int16", -32_768]],
          ["u32", ["uint32", 4_294_967_295]],
          ["i32", ["int32", -2_147_483_648]],
          ["f32", ["float32", 0.1]],
          ["f64", ["float64", 0.1]],
          ["u64", ["uint64", 9_007_199_254_740_991n]],
          ["u64 big", ["uint64", 2n ** 64n - 1n]],
          ["i64", ["int64", -1n]],
          ["i64 big", ["int64", -(2n ** 63n)]],
          ["yes", ["bool", true]],
          ["no", ["bool", false]],
          ["text", ["string", "ü\u0000\uFEFF"]],
          ["strings", ["array", "string", ["\uFEFF", "", "語", "▁the"]]],
          ["floats", ["array", "float32", [0.5, -1]]],
          ["ints", ["array", "int32", [1, -1]]],
          ["bigs", ["array", "uint64", [1n]]],
          ["bools", ["array", "bool", [true, false]]],
          ["none", ["array", "string", []]],
        ],
        tensors: [],
      }),
    );
    expect(version).toBe(3);
    expect(Object.fromEntries(metadata)).toEqual({
      u8: 255,
      i8: -128,
      u16: 65_535,
      i16: -32_768,
      u32: 4_294_967_295,
      i32: -2_147_483_648,
      f32: Math.fround(0.1),
      f64: 0.1,
      u64: 9_007_199_254_740_991,
      "u64 big": 2n ** 64n - 1n,
      i64: -1,
      "i64 big": -(2n ** 63n),
      yes: true,
      no: false,
      text: "ü\u0000\uFEFF",
      strings: ["\uFEFF", "", "語", "▁the"],
      floats: Float32Array.of(0.5, -1),
      ints: Int32Array.of(1, -1),
      bigs: BigUint64Array.of(1n),
      bools: [true, false],
      none: [],
    });
  });

  it("gives tensors Hugging Face's orientation, with any alignment", async () => {
    const bytes = writeGguf(
      file({
        version: 2,
        alignment: 64,
        metadata: [["general.alignment", ["uint32", 64]]],
        tensors: [tensor("a"), tensor("b", { sizes: [32, 3], typeId: Q4_0, bytes: new Uint8Array(54).fill(7) })],
      }),
    );
    const { tensors, version } = await readHeader(bytes);
    expect(version).toBe(2);
    expect([...tensors.keys()]).toEqual(["a", "b"]);
    const b = tensors.get("b");
    expect(b).toMatchObject({ shape: [3, 32], dtype: "Q4_0", byteLength: 54, startByte: bytes.length - 64 });
    expect(tensors.get("a")).toMatchObject({ shape: [2, 4], dtype: "F32", byteLength: 32, startByte: bytes.length - 128 });
  });

  it("reads strings and arrays that are larger than its window", async () => {
    const long = "long ".repeat(500_000);
    const numbers = Array.from({ length: 400_000 }, (_, i) => i);
    const words = Array.from({ length: 100_000 }, (_, i) => `token ${i}`);
    const metadata = [
      ["long", ["string", long]],
      ["numbers", ["array", "int32", numbers]],
      ["words", ["array", "string", words]],
    ] as const;
    const header = await readHeader(writeGguf({ metadata, tensors: [tensor("a")] }));
    expect(header.metadata.get("long")).toBe(long);
    expect(header.metadata.get("numbers")).toEqual(Int32Array.from(numbers));
    expect(header.metadata.get("words")).toEqual(words);
    expect(header.tensors.size).toBe(1);
  });

  const text = (value: string): Uint8Array => Buffer.from(value, "latin1");
  const refused: readonly (readonly [what: string, bytes: Uint8Array, code: ErrorCode, ...message: string[]])[] = [
    ["an empty file", new Uint8Array(), "GGUF_MAGIC", "an empty file"],
    ["three bytes", text("GGU"), "GGUF_MAGIC", "474755"],
    ["a zip archive", text(`PK\u0003\u0004${"x".repeat(80)}`), "GGUF_MAGIC", "zip archive", "model.gguf"],
    ["a safetensors file", text(`\u0010${"\u0000".repeat(7)}{"a":{}}`), "GGUF_MAGIC", "a safetensors file"],
    ["a Git LFS pointer", text("version https://git-lfs.github.com/spec/v1\noid sha256:00"), "GGUF_MAGIC", "Git LFS pointer"],
    ["an HTML page", text("<!DOCTYPE html><html>not found</html>"), "GGUF_MAGIC", "HTML page"],
    ["an old GGML file", text(`tjgg${"x".repeat(80)}`), "GGUF_MAGIC", "GGJT"],
    ["version 1", writeGguf(file({ version: 1 })), "GGUF_VERSION", "version 1", "2 or 3"],
    ["version 0", writeGguf(file({ version: 0 })), "GGUF_VERSION", "version 0"],
    ["a big-endian file", writeGguf(file({ version: 0x03000000 })), "GGUF_BIG_ENDIAN", "gguf_convert_endian.py"],
    ["a huge tensor count", writeGguf(file({ tensorCount: HUGE })), "GGUF_COUNT", `${HUGE} tensors`],
    ["a huge pair count", writeGguf(file({ pairCount: 2n ** 64n - 1n })), "GGUF_COUNT", "key-value pairs"],
    ["a huge key", hugeKey(), "GGUF_STRING", "key 1 of 1", `${Number(HUGE)} bytes`],
    ["a huge string", pair("k", (w) => w.uint32(8).uint64(HUGE)), "GGUF_STRING", "key 'k'", `${Number(HUGE)} bytes`],
    ["a huge array of strings", pair("k", (w) => w.uint32(9).uint32(8).uint64(HUGE)), "GGUF_COUNT", "key 'k'", "strings"],
    ["a huge array of numbers", pair("k", (w) => w.uint32(9).uint32(5).uint64(HUGE)), "GGUF_COUNT", "key 'k'", "numbers"],
    ["a huge array of booleans", pair("k", (w) => w.uint32(9).uint32(7).uint64(HUGE)), "GGUF_COUNT", "key 'k'", "booleans"],
    ["an array of arrays", pair("k", (w) => w.uint32(9).uint32(9).uint64(HUGE)), "GGUF_VALUE", "key 'k'", "array of arrays"],
    ["an unknown value type", pair("k", (w) => w.uint32(13)), "GGUF_VALUE", "key 'k'", "type 13", "0 to 12"],
    [
      "a boolean that is neither 0 nor 1",
      pair("k", (w) => w.uint32(7).bytes(Uint8Array.of(2))),
      "GGUF_VALUE",
      "byte 2",
      "0 or 1",
    ],
    [
      "a string that is not UTF-8",
      pair("k", (w) => w.uint32(8).uint64(2).bytes(Uint8Array.of(0xc3, 0x28))),
      "GGUF_STRING",
      "not UTF-8",
    ],
    [
      "a duplicate key",
      writeGguf(
        file({
          metadata: [
            ["k", ["uint8", 1]],
            ["k", ["uint8", 2]],
          ],
        }),
      ),
      "GGUF_DUPLICATE_KEY",
      "key 'k'",
    ],
    ["a duplicate tensor", writeGguf(file({ tensors: [tensor("a"), tensor("a")] })), "GGUF_DUPLICATE_TENSOR", "tensor 'a'"],
    ["no dimensions", writeGguf(file({ tensors: [tensor("a", { sizes: [] })] })), "GGUF_DIMENSIONS", "0 dimensions"],
    ["five dimensions", writeGguf(file({ tensors: [tensor("a", { sizes: [1, 1, 1, 1, 1] })] })), "GGUF_DIMENSIONS", "1 to 4"],
    ["a size of 0", writeGguf(file({ tensors: [tensor("a", { sizes: [4, 0] })] })), "GGUF_DIMENSIONS", "[0, 4]"],
    [
      "sizes beyond any file",
      writeGguf(file({ tensors: [tensor("a", { sizes: [HUGE, HUGE] })] })),
      "GGUF_DIMENSIONS",
      "tensor 'a'",
    ],
    [
      "sizes beyond this file",
      writeGguf(file({ tensors: [tensor("a", { sizes: [4, 2 ** 40] })] })),
      "GGUF_TRUNCATED",
      "tensor 'a'",
    ],
    [
      "half a block",
      writeGguf(file({ tensors: [tensor("a", { sizes: [48, 2], typeId: Q8_0 })] })),
      "GGUF_ROW_LENGTH",
      "tensor 'a'",
      "rows of 48",
      "32, the block of Q8_0",
    ],
    [
      "type IQ2_XS",
      writeGguf(file({ tensors: [tensor("a", { typeId: 17 })] })),
      "GGUF_TENSOR_TYPE",
      "type IQ2_XS",
      "Q4_K",
      "BF16",
    ],
    ["an unknown type", writeGguf(file({ tensors: [tensor("a", { typeId: 999 })] })), "GGUF_TENSOR_TYPE", "unknown type 999"],
    [
      "an unaligned offset",
      writeGguf(file({ tensors: [tensor("a", { offset: 4 })] })),
      "GGUF_OFFSET",
      "offset 4",
      "alignment 32",
    ],
    ["an offset beyond the file", writeGguf(file({ tensors: [tensor("a", { offset: 320 })] })), "GGUF_TRUNCATED", "tensor 'a'"],
    ["a huge offset", writeGguf(file({ tensors: [tensor("a", { offset: 2n ** 63n })] })), "GGUF_TRUNCATED", "tensor 'a'"],
    [
      "overlapping tensors",
      writeGguf(file({ tensors: [tensor("a", { bytes: new Uint8Array(64), sizes: [4, 4] }), tensor("b", { offset: 32 })] })),
      "GGUF_OVERLAP",
      "tensor 'b'",
      "where 'a' ends",
    ],
    [
      "alignment 0",
      writeGguf(file({ metadata: [["general.alignment", ["uint32", 0]]] })),
      "GGUF_ALIGNMENT",
      "found 0",
      "power of two",
    ],
    ["alignment 24", writeGguf(file({ metadata: [["general.alignment", ["uint32", 24]]] })), "GGUF_ALIGNMENT", "found 24"],
    [
      "an alignment that is a string",
      writeGguf(file({ metadata: [["general.alignment", ["string", "x"]]] })),
      "GGUF_ALIGNMENT",
      "type string",
    ],
    // gguf.py and llama.cpp refuse every other type, also one that holds 32.
    [
      "an alignment in int32",
      writeGguf(file({ metadata: [["general.alignment", ["int32", 32]]] })),
      "GGUF_ALIGNMENT",
      "type int32",
    ],
  ];

  it.each(refused.map(([what, bytes, code, ...parts]) => ({ what, bytes, code, parts })))(
    "refuses $what",
    async ({ bytes, code, parts }) => {
      const error = await errorOf(readHeader(bytes));
      expect(error.code).toBe(code);
      for (const part of [...parts, "model.gguf"]) expect(error.message).toContain(part);
    },
  );

  it("refuses a header larger than any model's", async () => {
    const length = 2 ** 30;
    await withFile(
      pair("k", (w) => w.uint32(8).uint64(length)),
      async (path) => {
        await truncate(path, 2 * length); // a sparse file, which takes no disk space
        const error = await errorOf(readHeaderOf(path));
        expect(error.code).toBe("GGUF_HEADER_TOO_LARGE");
        expect(error.message).toContain("key 'k'");
      },
    );
  });

  it("refuses a file that is truncated at any byte", async () => {
    const whole = writeGguf(
      file({
        metadata: [
          ["general.architecture", ["string", "llama"]],
          ["tokens", ["array", "string", ["a", "b"]]],
          ["types", ["array", "int32", [1, 2]]],
        ],
      }),
    );
    for (let length = 0; length < whole.length; length++) {
      const error = await errorOf(readHeader(whole.subarray(0, length)));
      expect(["GGUF_MAGIC", "GGUF_TRUNCATED", "GGUF_COUNT", "GGUF_STRING"]).toContain(error.code);
    }
  });

  it("reads or refuses any bytes after the magic", async () => {
    const property = fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (tail) => {
      const bytes = new ByteWriter().bytes(text("GGUF")).uint32(3).bytes(tail).finish();
      await allowRefusal(readHeader(bytes));
    });
    await expect(fc.assert(property, { numRuns: 200 })).resolves.toBeUndefined();
  });
});
