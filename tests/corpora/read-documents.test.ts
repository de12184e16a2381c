/**
 * @file The readers: JSON Lines, plain text, Parquet (goldens by pyarrow) and folders, with invalid files of each kind.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { TextDocument } from "../../src/corpora/corpus.ts";
import { readDocuments } from "../../src/corpora/read-documents.ts";
import { PACKED_CHARACTERS } from "../../src/corpora/read-text.ts";
import { MAX_LINE_BYTES } from "../../src/corpora/utf8-lines.ts";
import { errorOf } from "../support/temporary-gguf.ts";

const folder = mkdtempSync(join(tmpdir(), "cusprun-corpora-"));
afterAll(() => rmSync(folder, { recursive: true }));

const PARQUET = join(import.meta.dirname, "../fixtures/parquet");

async function write(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function read(spec: string): Promise<TextDocument[]> {
  const documents: TextDocument[] = [];
  for await (const document of readDocuments(spec)) documents.push(document);
  return documents;
}

const textsOf = (documents: readonly TextDocument[]): string[] => documents.map(({ text }) => text);

describe("JSON Lines", () => {
  test("reads `text`, skips empty lines, and records the location of each document", async () => {
    const path = await write("a.jsonl", '\ufeff{"text":"one"}\r\n\n{"id":2,"text":"zwei ü 😀"}');
    expect(await read(path)).toEqual([
      { text: "one", source: `${path}:1` },
      { text: "zwei ü 😀", source: `${path}:3` },
    ]);
  });

  test("reads a named field", async () => {
    const path = await write("b.ndjson", '{"text":"no","body":"yes"}\n');
    expect(textsOf(await read(`${path}#body`))).toEqual(["yes"]);
  });

  test("reads a file with # in its name", async () => {
    const path = await write("c#d.jsonl", '{"text":"x"}\n');
    expect(textsOf(await read(path))).toEqual(["x"]);
  });

  test("reads back any texts, whatever the length of the lines", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: "grapheme", maxLength: 200 }), { minLength: 1, maxLength: 20 }),
        fc.nat(40),
        async (texts, repeats) => {
          const long = texts.map((text) => text.repeat(repeats * 1000));
          const path = await write("d.jsonl", long.map((text) => JSON.stringify({ text })).join("\n"));
          expect(textsOf(await read(path))).toEqual(long);
        },
      ),
      { numRuns: 20 },
    );
  });

  test.for<[string, string | Uint8Array, string, string[]]>([
    ["an invalid line", '{"text":"a"}\n{"text":\n', "CORPUS_JSON", [":2: found", '{\\"text\\":']],
    ["a line that is not an object", '["a"]\n', "CORPUS_JSON", [":1: found", "a JSON object"]],
    ["plain text", "Once upon a time\n", "CORPUS_JSON", [":1: found", ".txt"]],
    ["a missing field", '{"text":"a"}\n{"id":1,"body":"b"}\n', "CORPUS_FIELD", [":2: found", "'id', 'body'", "bad.jsonl#body"]],
    ["a field of another type", '{"text":["a"]}\n', "CORPUS_FIELD", ["'text' of type list", "a string"]],
    ["an empty file", "\n\n", "CORPUS_EMPTY", ["no document"]],
    [
      "Latin-1",
      Buffer.from('{"text":"ok"}\n{"text":"Stra\xdfe"}\n', "latin1"),
      "CORPUS_ENCODING",
      [":2: found", "at byte 27 of the file", "UTF-8"],
    ],
    [
      "a character cut off at the end",
      Buffer.from('{"text":"€').subarray(0, 11),
      "CORPUS_ENCODING",
      [":1: found", "at byte 9 of the file"],
    ],
    ["UTF-16 without its mark", Buffer.from('{"text":"ä"}', "utf16le"), "CORPUS_ENCODING", ["at byte 18"]],
    ["a line without an end", Buffer.alloc(MAX_LINE_BYTES + 1, "a"), "CORPUS_TOO_LARGE", [":1: found", String(MAX_LINE_BYTES)]],
  ])("refuses %s", async ([, content, code, parts]) => {
    const path = await write("bad.jsonl", content);
    const error = await errorOf(read(path));
    expect(error.code).toBe(code);
    expect(error.exitCode).toBe(4);
    for (const part of [path, ...parts]) expect(error.message).toContain(part);
  });
});

describe("plain text", () => {
  test("packs paragraphs into documents, in order and without loss", async () => {
    const paragraphs = Array.from({ length: 40 }, (_, index) => `Paragraph ${index}. ${"word ".repeat(index * 3).trim()}`.trim());
    const path = await write("book.txt", paragraphs.join("\n\n"));
    const documents = await read(path);
    expect(textsOf(documents).join("\n\n")).toBe(paragraphs.join("\n\n"));
    expect(documents.length).toBeGreaterThan(3);
    for (const { text } of documents) expect(text.length).toBeLessThanOrEqual(PACKED_CHARACTERS);
    expect(documents[0]?.source).toBe(`${path}:1`);
    const line = Number(documents[1]?.source.split(":").at(-1));
    expect(documents[1]?.text.startsWith(`Paragraph ${(line - 1) / 2}.`)).toBe(true);
  });

  test("splits a long line at spaces, or between characters if there are none", async () => {
    const words = "word ".repeat(3000).trim();
    const characters = "😀".repeat(3000);
    const words2 = textsOf(await read(await write("long.md", words)));
    const characters2 = textsOf(await read(await write("emoji.txt", `x${characters}`)));
    expect(words2.join(" ")).toBe(words);
    expect(characters2.join("")).toBe(`x${characters}`);
    for (const text of [...words2, ...characters2]) expect(text.length).toBeLessThanOrEqual(PACKED_CHARACTERS);
    for (const text of characters2) expect(Buffer.from(text).toString()).toBe(text);
  });

  test("has no fields", async () => {
    const error = await errorOf(read(`${await write("f.txt", "x")}#body`));
    expect(error.code).toBe("CORPUS_FORMAT");
    expect(error.message).toContain("the field 'body'");
  });
});

describe("Parquet", () => {
  test.for(["snappy", "gzip", "brotli", "none", "lengths"])("reads what pyarrow wrote with %s, nulls left out", async (name) => {
    const { body } = JSON.parse(await readFile(join(PARQUET, "expected.json"), "utf8")) as { body: (string | null)[] };
    const documents = await read(`${join(PARQUET, `${name}.parquet`)}#body`);
    expect(textsOf(documents)).toEqual(body.filter((text) => text !== null));
    expect(documents.at(-1)?.source).toBe(`${join(PARQUET, `${name}.parquet`)}:row ${body.length - 1}`);
  });

  test("reads pages that hold nothing but nulls", async () => {
    const { body } = JSON.parse(await readFile(join(PARQUET, "expected.json"), "utf8")) as { body: (string | null)[] };
    expect(textsOf(await read(`${join(PARQUET, "nulls.parquet")}#body`))).toEqual(body.filter((text) => text !== null));
  });

  test("reads zstd if Node can, or else names the remedy", async () => {
    const reading = read(join(PARQUET, "zstd.parquet"));
    if ("zstdDecompressSync" in zlib) expect(textsOf(await reading)).toHaveLength(7);
    else expect((await errorOf(reading)).message).toMatch(/compression ZSTD.*Use Node 22\.15 or newer/);
  });

  test.for<[string, string, string, string[]]>([
    ["a missing column", "snappy.parquet#nothing", "CORPUS_FIELD", ["'id', 'body', 'text'", "#body"]],
    ["a column of numbers", "snappy.parquet#id", "CORPUS_FIELD", ["'id' of type INT64", "a string column"]],
    ["bytes that are not UTF-8", "not-utf8.parquet", "CORPUS_ENCODING", ["row group 0", "UTF-8"]],
  ])("refuses %s", async ([, spec, code, parts]) => {
    const error = await errorOf(read(join(PARQUET, spec)));
    expect(error.code).toBe(code);
    for (const part of parts) expect(error.message).toContain(part);
  });

  test.for<[string, string]>([
    // A block with a negative number of parts, which hyparquet 1.31.5 reads for ever.
    ["endless.parquet#body", "the number of parts of a block is -"],
    // The second row group has no column; hyparquet 1.31.5 throws a TypeError.
    ["damaged-footer.parquet#body", "found a file that cannot be read"],
  ])("refuses %s", async ([spec, part]) => {
    const error = await errorOf(read(join(PARQUET, spec)));
    expect({ code: error.code, message: error.message }).toEqual({
      code: "CORPUS_PARQUET",
      message: expect.stringContaining(part) as string,
    });
  });

  test("rejects a file truncated or damaged anywhere, with a code", async () => {
    const whole = await readFile(join(PARQUET, "snappy.parquet"));
    for (const length of [0, 3, 11, 12, 100, whole.length - 1]) {
      expect((await errorOf(read(await write("cut.parquet", whole.subarray(0, length))))).code).toBe("CORPUS_PARQUET");
    }
    for (let at = 0; at < whole.length; at += 7) {
      const damaged = Uint8Array.from(whole);
      damaged[at] = 255 - damaged[at]!;
      const outcome = await read(`${await write("damaged.parquet", damaged)}#body`).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toHaveProperty("code", expect.stringMatching(/^CORPUS_/));
    }
  });
});

describe("paths", () => {
  test("reads all corpus files in a folder, sorted by name", async () => {
    const sub = join(folder, "sub");
    await mkdir(join(sub, "b"), { recursive: true });
    await writeFile(join(sub, "c.jsonl"), '{"text":"3","body":"3b"}\n');
    await writeFile(join(sub, "b", "x.txt"), "2");
    await writeFile(join(sub, "a.md"), "1");
    await writeFile(join(sub, "picture.png"), "no");
    expect(textsOf(await read(sub))).toEqual(["1", "2", "3"]);
    expect(textsOf(await read(`${sub}#body`))).toEqual(["1", "2", "3b"]);
  });

  test("rejects missing, unknown and empty files", async () => {
    const missing = await errorOf(read(join(folder, "missing.jsonl")));
    expect(missing.code).toBe("CORPUS_NOT_FOUND");
    expect(missing.message).toContain("missing.jsonl");
    const pdf = await errorOf(read(await write("book.pdf", "x")));
    expect(pdf.code).toBe("CORPUS_FORMAT");
    expect(pdf.message).toMatch(/'\.pdf'.*\.jsonl, \.ndjson, \.json, \.csv, \.tsv, \.parquet, \.txt, \.md/);
    await mkdir(join(folder, "empty"), { recursive: true });
    expect((await errorOf(read(join(folder, "empty")))).code).toBe("CORPUS_EMPTY");
  });
});
