/**
 * @file Invalid safetensors headers of every kind, with code and message; and that no input crashes the reader.
 */

import { open, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findDuplicateKey } from "../../../src/checkpoint/json-duplicates.ts";
import { parseHeaderLength, parseSafetensorsHeader } from "../../../src/checkpoint/safetensors/header.ts";
import { SafetensorsFile } from "../../../src/checkpoint/safetensors/read.ts";
import { CusprunError, type ErrorCode } from "../../../src/errors.ts";
import { entry, safetensorsBytes } from "../../support/safetensors-bytes.ts";
import { errorOf } from "../../support/temporary-gguf.ts";
import { withFolder } from "../../support/temporary-folder.ts";

function parse(bytes: Uint8Array): ReturnType<typeof parseSafetensorsHeader> {
  const length = parseHeaderLength(bytes.subarray(0, 64), bytes.length, "m.safetensors");
  return parseSafetensorsHeader(bytes.subarray(8, 8 + length), bytes.length, "m.safetensors");
}

function lengthBytes(length: bigint, rest = ""): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(length);
  return Buffer.concat([bytes, Buffer.from(rest)]);
}

const a = entry("F32", [2], 0, 8);

/** A number that JavaScript reads as an integer, or in a key that is not read, and that strict readers refuse. */
function refusedNumber(number: string, json: string, dataBytes: number): [string, ErrorCode, Uint8Array<ArrayBuffer>, RegExp] {
  const bytes = Uint8Array.from(safetensorsBytes(json, dataBytes));
  return [`the number ${number}`, "SAFETENSORS_HEADER_JSON", bytes, /the number "[-0-9.e]+", expected integers from 0/];
}

describe("rejects", () => {
  const cases: readonly [string, ErrorCode, Uint8Array, RegExp][] = [
    ["an empty file", "SAFETENSORS_TOO_SHORT", new Uint8Array(0), /found an empty file/],
    ["7 bytes", "SAFETENSORS_TOO_SHORT", new Uint8Array(7), /found 7 bytes/],
    [
      "a header over the cap",
      "SAFETENSORS_HEADER_LENGTH",
      lengthBytes(100_000_001n),
      /a header of 100000001 bytes, expected at most 100000000/,
    ],
    ["a header length of 2^64 - 1", "SAFETENSORS_HEADER_LENGTH", lengthBytes(2n ** 64n - 1n), /18446744073709551615/],
    [
      "a header longer than the file",
      "SAFETENSORS_HEADER_LENGTH",
      lengthBytes(10n, "{}"),
      /a header of 10 bytes, expected at most the remaining 2 bytes of the file/,
    ],
    [
      "a Git LFS pointer",
      "SAFETENSORS_HEADER_LENGTH",
      Buffer.from("version https://git-lfs.github.com/spec/v1\n"),
      /a Git LFS pointer.*git lfs pull/,
    ],
    ["a header of length 0", "SAFETENSORS_HEADER_JSON", lengthBytes(0n), /not valid JSON/],
    ["invalid JSON", "SAFETENSORS_HEADER_JSON", safetensorsBytes('{"a":', 0), /not valid JSON/],
    [
      "a header that is not UTF-8",
      "SAFETENSORS_HEADER_JSON",
      Buffer.concat([lengthBytes(3n), Buffer.from([0x7b, 0xff, 0x7d])]),
      /not valid JSON .*UTF-8/,
    ],
    ["a list", "SAFETENSORS_HEADER_JSON", safetensorsBytes("[]", 0), /starts with "\[\]", expected a JSON object/],
    ...["3.0", "0.3e1"].map((number) =>
      refusedNumber(number, `{"a":{"dtype":"U8","shape":[${number}],"data_offsets":[0,3]}}`, 3),
    ),
    refusedNumber("-0", '{"a":{"dtype":"U8","shape":[0],"data_offsets":[-0,0]}}', 0),
    refusedNumber("1e400", '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3],"note":1e400}}', 3),
    ["white space before the object", "SAFETENSORS_HEADER_JSON", safetensorsBytes(" {}", 0), /starts with " {}"/],
    [
      "a name twice",
      "SAFETENSORS_DUPLICATE_KEY",
      safetensorsBytes(`{"a":${JSON.stringify(a)},"a":${JSON.stringify(a)}}`, 8),
      /"a" twice/,
    ],
    [
      "a name twice, once escaped",
      "SAFETENSORS_DUPLICATE_KEY",
      safetensorsBytes(`{"a":${JSON.stringify(a)},"\\u0061":${JSON.stringify(a)}}`, 8),
      /"a" twice/,
    ],
    [
      "a shape twice",
      "SAFETENSORS_DUPLICATE_KEY",
      safetensorsBytes('{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,8]}}', 8),
      /"shape" twice/,
    ],
    [
      "metadata that are not strings",
      "SAFETENSORS_ENTRY",
      safetensorsBytes({ __metadata__: { format: 1 } }, 0),
      /__metadata__: found {"format":1}/,
    ],
    ["metadata null", "SAFETENSORS_ENTRY", safetensorsBytes({ __metadata__: null }, 0), /__metadata__: found null/],
    ["an empty name", "SAFETENSORS_ENTRY", safetensorsBytes({ "": a }, 8), /a tensor name of 0 characters/],
    ["an entry that is not an object", "SAFETENSORS_ENTRY", safetensorsBytes({ a: [1] }, 0), /tensor 'a': found \[1\]/],
    [
      "an unknown dtype",
      "SAFETENSORS_DTYPE",
      safetensorsBytes({ a: entry("F12", [2], 0, 8) }, 8),
      /tensor 'a': found dtype "F12", expected one of .*BF16/,
    ],
    [
      "a dtype named like a method of an object",
      "SAFETENSORS_DTYPE",
      safetensorsBytes({ a: entry("toString", [2], 0, 8) }, 8),
      /dtype "toString"/,
    ],
    ["a missing dtype", "SAFETENSORS_DTYPE", safetensorsBytes({ a: { shape: [2], data_offsets: [0, 8] } }, 8), /dtype nothing/],
    ["a negative size", "SAFETENSORS_SHAPE", safetensorsBytes({ a: entry("F32", [-2], 0, 8) }, 8), /shape \[-2\]/],
    ["a fractional size", "SAFETENSORS_SHAPE", safetensorsBytes({ a: entry("F32", [1.5], 0, 8) }, 8), /shape \[1.5\]/],
    ["a size over 2^53", "SAFETENSORS_SHAPE", safetensorsBytes({ a: entry("F32", [2 ** 53], 0, 8) }, 8), /shape/],
    ["a shape of 17 axes", "SAFETENSORS_SHAPE", safetensorsBytes({ a: entry("F32", Array(17).fill(1), 0, 4) }, 4), /at most 16/],
    ["a missing shape", "SAFETENSORS_SHAPE", safetensorsBytes({ a: { dtype: "F32", data_offsets: [0, 8] } }, 8), /shape nothing/],
    [
      "offsets in the wrong order",
      "SAFETENSORS_OFFSETS",
      safetensorsBytes({ a: entry("F32", [2], 8, 0) }, 8),
      /data_offsets \[8,0\]/,
    ],
    [
      "three offsets",
      "SAFETENSORS_OFFSETS",
      safetensorsBytes({ a: { ...a, data_offsets: [0, 4, 8] } }, 8),
      /data_offsets \[0,4,8\]/,
    ],
    ["a negative offset", "SAFETENSORS_OFFSETS", safetensorsBytes({ a: entry("F32", [2], -8, 0) }, 8), /data_offsets \[-8,0\]/],
    [
      "a truncated file",
      "SAFETENSORS_TRUNCATED",
      safetensorsBytes({ a }, 7),
      /tensor 'a': found 7 bytes of data in the file, expected at least 8 bytes/,
    ],
    [
      "fewer bytes than the shape needs",
      "SAFETENSORS_SIZE",
      safetensorsBytes({ a: entry("F32", [3], 0, 8) }, 8),
      /found 8 bytes, expected 12 bytes for F32 \[3\]/,
    ],
    [
      "a shape whose size is not a safe integer",
      "SAFETENSORS_SIZE",
      safetensorsBytes({ a: entry("F32", [2 ** 40, 2 ** 40], 0, 8) }, 8),
      /no exact number of bytes/,
    ],
    ["half a byte", "SAFETENSORS_SIZE", safetensorsBytes({ a: entry("F4", [3], 0, 1) }, 1), /no exact number of bytes/],
    [
      "an overlap",
      "SAFETENSORS_OVERLAP",
      safetensorsBytes({ a, b: entry("F32", [2], 4, 12) }, 12),
      /tensor 'b': found a start at byte .* where 'a' ends/,
    ],
    ["the same bytes twice", "SAFETENSORS_OVERLAP", safetensorsBytes({ a, b: a }, 8), /tensor 'b'/],
    [
      "a hole",
      "SAFETENSORS_HOLE",
      safetensorsBytes({ a, b: entry("F32", [1], 12, 16) }, 16),
      /tensor 'b': found a gap of 4 bytes before it/,
    ],
    [
      "a hole at the start",
      "SAFETENSORS_HOLE",
      safetensorsBytes({ b: entry("F32", [1], 4, 8) }, 8),
      /a gap of 4 bytes before it/,
    ],
    ["bytes after the last tensor", "SAFETENSORS_TRAILING", safetensorsBytes({ a }, 9), /found 1 byte after 'a'/],
    ["data without a tensor", "SAFETENSORS_TRAILING", safetensorsBytes({}, 4), /found 4 bytes after the header/],
  ];

  test.each(cases)("%s: %s", (_, code, bytes, message) => {
    expect(() => parse(bytes)).toThrow(message);
    expect(() => parse(bytes)).toThrow(expect.objectContaining({ code, name: "CusprunError" }));
    expect(() => parse(bytes)).toThrow(/^m\.safetensors.*(Download|Run)/s);
  });

  test("a missing file", async () => {
    await withFolder(async (folder) => {
      const error = await errorOf(SafetensorsFile.open(join(folder, "no.safetensors")));
      expect([error.code, error.message]).toEqual(["MODEL_FILE_MISSING", expect.stringContaining("no such file")]);
    });
  });

  test("a file that is truncated while it is open", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "m.safetensors");
      await writeFile(path, safetensorsBytes({ a }, 8));
      const file = await SafetensorsFile.open(path);
      await truncate(path, 66);
      const error = await errorOf(file.readBytes("a"));
      expect([error.code, error.message]).toEqual([
        "SAFETENSORS_TRUNCATED",
        expect.stringContaining("the end of the file at byte 66"),
      ]);
      await file.close();
    });
  });
});

describe("accepted", () => {
  test("no tensors", () => {
    expect(parse(safetensorsBytes({}, 0)).tensors.size).toBe(0);
  });

  test("a header padded with spaces, tensors in any order, an empty tensor between two others", () => {
    const text = `${JSON.stringify({ b: entry("F16", [1, 2], 8, 12), e: entry("F32", [0, 9], 8, 8), a })}   `;
    const { tensors } = parse(safetensorsBytes(text, 12));
    const dataStart = 8 + text.length;
    expect([...tensors.keys()]).toEqual(["a", "e", "b"]);
    expect(tensors.get("b")).toEqual({
      name: "b",
      dtype: "F16",
      shape: [1, 2],
      startByte: dataStart + 8,
      endByte: dataStart + 12,
    });
  });

  test("a tensor named __proto__ is a tensor", () => {
    const { tensors } = parse(safetensorsBytes(`{"__proto__":${JSON.stringify(a)}}`, 8));
    expect(tensors.get("__proto__")?.shape).toEqual([2]);
  });
});

describe("any bytes", () => {
  test("are read or rejected with a code", () => {
    const text = JSON.stringify({ __metadata__: { format: "pt" }, a, b: entry("BF16", [3, 1], 8, 14) });
    const whole = safetensorsBytes(text, 14);
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(damage, fc.nat(whole.length), (changes, length) => {
        const bytes = Uint8Array.from(whole);
        for (const [position, value] of changes) bytes[position] = value;
        for (const file of [bytes, bytes.subarray(0, length)]) {
          try {
            for (const tensor of parse(file).tensors.values()) expect(tensor.endByte).toBeLessThanOrEqual(file.length);
          } catch (error) {
            if (!(error instanceof CusprunError)) throw error;
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test("duplicate keys are found if and only if the JSON text has them", () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.double({ noNaN: true }),
        fc.array(tie("value")),
        fc.dictionary(fc.string(), tie("value")),
      ),
    }));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), value), (object) => {
        const text = JSON.stringify(object, null, 1);
        expect(findDuplicateKey(text)).toBeNull();
        for (const key of Object.keys(object)) {
          const doubled = `${text.trimEnd().slice(0, -1).trimEnd()},${JSON.stringify(key)}:0}`;
          expect(findDuplicateKey(doubled)).toBe(key);
        }
      }),
    );
  });
});

test("opening reads no more than the header", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "m.safetensors");
    // A sparse file of 256 GiB: reading it would take too long.
    const bytes = 2 ** 38;
    const header = safetensorsBytes({ a: entry("BF16", [bytes / 2], 0, bytes) }, 0);
    const handle = await open(path, "w");
    await handle.write(header);
    await handle.truncate(header.length + bytes);
    await handle.close();
    const file = await SafetensorsFile.open(path);
    expect(await file.readBytes("a", bytes - 4, bytes)).toEqual(new Uint8Array(4));
    await file.close();
  });
});
