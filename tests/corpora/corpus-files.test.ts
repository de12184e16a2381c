/**
 * @file The files in which people have texts: tables, JSON lists, compressed files, folders, other encodings, and those
 * that are refused.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CorpusFolder, jsonl, readAll, textsOf } from "../support/corpora.ts";
import { errorOf } from "../support/temporary-gguf.ts";

const folder = new CorpusFolder();
const FIXTURES = join(import.meta.dirname, "../fixtures");

/** A user without rights. Permissions do not stop root, so that root becomes this user meanwhile. */
const NOBODY = 65534;

async function withoutRoot<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe("tables", () => {
  test.for<[string, string, string, string[]]>([
    ["a.csv", 'id,text\n1,one\n2,"two, ""2""\nlines"\n', "", ["one", 'two, "2"\nlines']],
    ["b.csv", "\ufeffid;text\r\n1;eins, zwei\r\n\r\n2;drei", "", ["eins, zwei", "drei"]],
    ["c.tsv", 'id\ttext\n1\tthe "word" stays\n', "", ['the "word" stays']],
    ["d.csv", "id,body\n1,one\n", "#body", ["one"]],
    ["e.csv", "prompt,completion\n1 + 1 =, 2\n", "", ["<user>1 + 1 =<assistant> 2"]],
  ])("%s", async ([name, content, field, expected]) => {
    expect(await textsOf(`${await folder.write(name, content)}${field}`)).toEqual(expected);
  });

  test("a table that is refused at its first bytes is closed", async () => {
    // What this process has open, where the system tells it.
    const openFiles = (): number => (existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0);
    // More than is read at once, and no column of text in it.
    const path = await folder.write("closed.csv", `id,body\n${"1,one\n".repeat(400_000)}`);
    await errorOf(readAll(path));
    const before = openFiles();
    for (let i = 0; i < 20; i++) await errorOf(readAll(path));
    expect(openFiles()).toBeLessThanOrEqual(before + 1);
  });

  test("a field with a name of 3,000 characters is not offered in full", async () => {
    const error = await errorOf(readAll(await folder.write("names.csv", `${"a".repeat(3000)},${"b".repeat(3000)}\n1,2\n`)));
    expect(error.code).toBe("CORPUS_FIELD");
    expect(error.message.length).toBeLessThan(600);
    expect(error.parts.remedy).toContain("names.csv#FIELD");
  });

  test("read back any values, quoted as in RFC 4180", async () => {
    const cell = fc.string({ unit: "grapheme", maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 20 }), async (rows) => {
        const quote = (value: string): string => `"${value.replaceAll('"', '""')}"`;
        const lines = rows.map((row) => row.map(quote).join(","));
        expect(await textsOf(await folder.write("any.csv", ["id,text", ...lines].join("\r\n")))).toEqual(
          rows.map(([, text]) => text),
        );
      }),
      { numRuns: 30 },
    );
  });

  test.for<[string, string, string | Uint8Array, string, string]>([
    ["no known column", "f.csv", "id,body\n1,one\n", "CORPUS_FIELD", "#body"],
    ["an open quote", "g.csv", 'id,text\n1,"one\n2,two\n', "CORPUS_CSV", "a double quote that is not closed"],
    ["Latin-1", "h.csv", Buffer.from("id,text\n1,Stra\xdfe\n", "latin1"), "CORPUS_ENCODING", "iconv"],
    ["uneven rows", "i.csv", "id,text\n1,one, two\n", "CORPUS_CSV", "3 values"],
    ["a header alone", "j.csv", "id,text\n", "CORPUS_EMPTY", "no document"],
  ])("with %s are refused", async ([, name, content, code, part]) => {
    const error = await errorOf(readAll(await folder.write(name, content)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(part);
  });
});

describe("JSON files", () => {
  test.for<[string, string, string[]]>([
    ["a list of objects", ' [ {"text":"[a]"}\n, {"text":"}\\"{","n":[{}]} ] \n', ["[a]", '}"{']],
    ["a list of strings", '["a","b\\\\",null,"c"]', ["a", "b\\", "c"]],
    ["one object", '{\n  "text": "a"\n}\n', ["a"]],
    ["lines of objects", '\ufeff{"text":"a"}\n{"text":"b"}', ["a", "b"]],
    ["pairs", '[{"instruction":"a","output":"b"}]', ["<user>a<assistant>b"]],
  ])("with %s", async ([, content, expected]) => {
    expect(await textsOf(await folder.write("a.json", content))).toEqual(expected);
  });

  test("are split alike wherever a read ends", async () => {
    const items = Array.from({ length: 3 }, (_, i) => ({ text: `"${"\\é".repeat(200_000 + i)}]}` }));
    expect(await textsOf(await folder.write("long.json", JSON.stringify(items)))).toEqual(items.map(({ text }) => text));
  });

  test.for<[string, string, string, string]>([
    ["a list in an object", '{"version":1,"data":[{"text":"a"}]}', "CORPUS_FIELD", `jq -c '."data"[]'`],
    ["a list that is cut off", '[{"text":"a"},', "CORPUS_JSON", "the end of the file"],
    ["an item that is cut off", '[{"text":"a"},{"te', "CORPUS_JSON", "the end of the file"],
    ["two commas", '[{"text":"a"},,{"text":"b"}]', "CORPUS_JSON", "','"],
    ["no comma", '[{"text":"a"} {"text":"b"}]', "CORPUS_JSON", "a comma or the end of the list"],
    ["more after the list", '[{"text":"a"}] x', "CORPUS_JSON", "nothing after the list"],
    ["an invalid item", '[\n{"text":"a"},\n{"text":a}]', "CORPUS_JSON", ":3: found"],
    ["text", "Once upon a time", "CORPUS_JSON", "a list or an object"],
    ["numbers", "[1,2,3]", "CORPUS_FIELD", "number"],
    ["nothing", "", "CORPUS_EMPTY", "no document"],
    ["an empty list", "[]", "CORPUS_EMPTY", "no document"],
    ["deep nesting", `[${"[".repeat(5000)}${"]".repeat(5000)}]`, "CORPUS_JSON", "deep"],
  ])("with %s are refused", async ([, content, code, part]) => {
    const error = await errorOf(readAll(await folder.write("bad.json", content)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(part);
  });
});

describe("compressed files", () => {
  const lines = Array.from({ length: 5000 }, (_, i) => `document ${i + 1}, ${((i + 1) * 7919) % 10_007} words`);

  test.for<[string, string]>([
    ["a.jsonl.gz", jsonl({ text: "one" }, { text: "two" })],
    ["a.JSON.GZ", '["one","two"]'],
    ["a.csv.gz", "text\none\ntwo\n"],
  ])("%s", async ([name, content]) => {
    // Several members, as `cat a.gz b.gz` and parallel compressors write them.
    const parts = [gzipSync(content.slice(0, 9)), gzipSync(content.slice(9))];
    expect(await textsOf(await folder.write(name, Buffer.concat(parts)))).toEqual(["one", "two"]);
  });

  test("Zstandard frames of every kind are read as zstd wrote them", async () => {
    expect(await textsOf(join(FIXTURES, "corpora/frames.jsonl.zst"))).toEqual(lines);
    expect(await textsOf(join(FIXTURES, "corpora/repeated.jsonl.zst"))).toEqual(["a".repeat(300_000)]);
  });

  test("plain text", async () => {
    expect(await textsOf(await folder.write("b.txt.gz", gzipSync("one\n\ntwo")))).toEqual(["one\n\ntwo"]);
  });

  test.for<[string, Uint8Array, string, string]>([
    ["c.jsonl.gz", gzipSync(jsonl({ text: "one" })).subarray(0, 20), "CORPUS_COMPRESSED", "unexpected end of file"],
    ["d.jsonl.gz", Buffer.from(jsonl({ text: "one" })), "CORPUS_COMPRESSED", "remove the last extension"],
    ["e.jsonl.zst", Buffer.from(jsonl({ text: "one" })), "CORPUS_COMPRESSED", "no Zstandard frame"],
    ["f.jsonl.gz", gzipSync(Buffer.alloc(70 * 2 ** 20, "a")), "CORPUS_TOO_LARGE", "a line of more than"],
  ])("refuses %s", async ([name, content, code, part]) => {
    const error = await errorOf(readAll(await folder.write(name, content)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(part);
  });

  test("refuses a file that is made to fill the memory, and a window above the limit", async () => {
    const part = gzipSync(`${" ".repeat(2 ** 25)}\n`);
    const bomb = await folder.write("bomb.jsonl.gz", Buffer.concat(Array.from({ length: 33 }, () => part)));
    expect((await errorOf(readAll(bomb))).code).toBe("CORPUS_TOO_LARGE");
    const window = await errorOf(readAll(join(FIXTURES, "corpora/window.jsonl.zst")));
    expect(window.code).toBe("CORPUS_COMPRESSED");
    expect(window.message).toContain("a window of 1073741824 bytes");
  }, 120_000);

  test("refuses a Zstandard file truncated or damaged anywhere with a code, or reads it", async () => {
    const whole = await readFile(join(FIXTURES, "corpora/frames.jsonl.zst"));
    for (let at = 0; at < whole.length; at += 997) {
      const damaged = Uint8Array.from(whole);
      damaged[at] = 255 - damaged[at]!;
      for (const content of [whole.subarray(0, at), damaged]) {
        const outcome = await readAll(await folder.write("damaged.jsonl.zst", content)).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toHaveProperty("code", expect.stringMatching(/^CORPUS_/));
      }
    }
  });
});

describe("folders", () => {
  test("what cannot be read is passed over and named", async () => {
    const base = join(folder.path, "mixed");
    await mkdir(join(base, "folder.txt"), { recursive: true });
    await writeFile(join(base, "a.txt"), "text a");
    await writeFile(join(base, "folder.txt", "b.txt"), "text b");
    await symlink("/nonexistent", join(base, "dangling.txt"));
    await symlink(join(base, "folder.txt"), join(base, "link.txt"));
    execFileSync("mkfifo", [join(base, "pipe.txt")]);
    const { documents, report } = await readAll(base);
    expect(documents.map(({ text }) => text)).toEqual(["text a", "text b"]);
    expect(report.notes).toHaveLength(1);
    for (const part of ["dangling.txt: no such file", "link.txt: not a regular file", "pipe.txt: not a regular file"]) {
      expect(report.notes[0]).toContain(part);
    }
  });

  test("a locked folder and a locked file are passed over", async () => {
    const base = join(folder.path, "locked");
    await mkdir(join(base, "sub"), { recursive: true });
    await writeFile(join(base, "a.txt"), "text a");
    await writeFile(join(base, "b.txt"), "text b");
    await chmod(join(base, "sub"), 0);
    await chmod(join(base, "b.txt"), 0);
    await chmod(folder.path, 0o755);
    const { report } = await withoutRoot(() => readAll(base));
    for (const name of ["b.txt", "sub"]) expect(report.notes[0]).toContain(`${join(base, name)}: no permission`);
    await chmod(join(base, "sub"), 0o700);
  });

  test("files of settings and tables of numbers are passed over, but not other broken files", async () => {
    const base = join(folder.path, "settings");
    await mkdir(base);
    await writeFile(join(base, "a.txt"), "text a");
    await writeFile(join(base, "b.csv"), "id,price\n1,2\n");
    await writeFile(join(base, "c.json"), '{"compilerOptions": { /* none */ }}');
    await writeFile(join(base, "d.json"), '{"version": 1}');
    await writeFile(join(base, "e.json"), '[{"text":"text e"}]');
    const { documents, report } = await readAll(base);
    expect(documents.map(({ text }) => text)).toEqual(["text a", "text e"]);
    for (const name of ["b.csv", "c.json", "d.json"]) expect(report.notes[0]).toContain(join(base, name));
    await writeFile(join(base, "f.jsonl"), '{"version": 1}\n');
    expect((await errorOf(readAll(base))).code).toBe("CORPUS_FIELD");
  });

  test("without a corpus file say what is there", async () => {
    const base = join(folder.path, "plain");
    await mkdir(base);
    await writeFile(join(base, "LICENSE"), "text");
    const error = await errorOf(readAll(base));
    expect(error.code).toBe("CORPUS_EMPTY");
    expect(error.parts.found).toBe(`1 files of other kinds (${join(base, "LICENSE")})`);
    expect(error.parts.remedy).toContain(`for f in ${base}/*; do mv "$f" "$f.txt"; done`);
    await mkdir(join(folder.path, "dangling"));
    await symlink("/nonexistent", join(folder.path, "dangling", "a.txt"));
    expect((await errorOf(readAll(join(folder.path, "dangling")))).code).toBe("CORPUS_NOT_FOUND");
  });
});

describe("other files", () => {
  test("UTF-16 with its mark is read, in both orders", async () => {
    const text = "Grüße 😀\n\nEnde";
    const little = Buffer.from(`\ufeff${text}`, "utf16le");
    expect(await textsOf(await folder.write("le.txt", little))).toEqual([text]);
    expect(await textsOf(await folder.write("be.txt", Buffer.from(little).swap16()))).toEqual([text]);
    expect(await textsOf(await folder.write("le.jsonl", Buffer.from(`\ufeff${jsonl({ text })}`, "utf16le")))).toEqual([text]);
    const odd = await errorOf(readAll(await folder.write("odd.txt", little.subarray(0, -1))));
    expect(odd.code).toBe("CORPUS_ENCODING");
    expect((await errorOf(readAll(await folder.write("utf32.txt", Buffer.of(0xff, 0xfe, 0, 0, 97, 0, 0, 0))))).message).toContain(
      "UTF-32",
    );
  });

  test.for<[string, RegExp]>([
    ["a.bz2", /bunzip2/],
    ["a.jsonl.xz", /unxz/],
    ["a.zip", /unzip/],
    ["a.tar.gz", /tar xf/],
    ["a.docx", /pandoc/],
    ["a.pdf", /pdftotext/],
    ["a.html", /pandoc/],
    ["a.arrow", /to_parquet/],
    ["a.gz", /corpus\.txt\.gz/],
    ["a.parquet.gz", /compressed by itself/],
    ["a.unknown", /rename it/],
    ["with space.zip", /unzip '.*with space\.zip'/],
  ])("%s is refused with what to do", async ([name, remedy]) => {
    const error = await errorOf(readAll(await folder.write(name, "x")));
    expect(error.code).toBe("CORPUS_FORMAT");
    expect(error.parts.remedy).toMatch(remedy);
  });

  test("pipes and devices are refused without waiting", async () => {
    const pipe = join(folder.path, "pipe.jsonl");
    execFileSync("mkfifo", [pipe]);
    expect((await errorOf(readAll(pipe))).message).toContain("a pipe");
    await symlink("/dev/zero", join(folder.path, "zero.txt"));
    expect((await errorOf(readAll(join(folder.path, "zero.txt")))).message).toContain("a device");
    await symlink(folder.path, join(folder.path, "loop.parquet"));
  });
});
