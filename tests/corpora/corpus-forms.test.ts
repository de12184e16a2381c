/**
 * @file The forms in which people have texts: chats, pairs, tables, JSON lists, compressed files, and what of them is
 * skipped or refused.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { ChatTemplate } from "../../src/corpora/chat-template.ts";
import type { SourceReport, TextDocument } from "../../src/corpora/corpus.ts";
import { readDocuments } from "../../src/corpora/read-documents.ts";
import { errorOf } from "../support/temporary-gguf.ts";

const folder = mkdtempSync(join(tmpdir(), "cusprun-forms-"));
afterAll(() => rmSync(folder, { recursive: true }));

const FIXTURES = join(import.meta.dirname, "../fixtures");

/** Writes every turn as `<role>content`, and refuses roles that it does not know. */
const chatTemplate: ChatTemplate = {
  source:
    "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant', 'tool'] %}{{ raise_exception('role ' + m.role) }}" +
    "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if tools %}|{{ tools | length }}{% endif %}",
  tokens: {},
  where: "model",
};

async function write(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

const jsonl = (...rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

async function readAll(
  spec: string,
  template: ChatTemplate | null = chatTemplate,
): Promise<{ documents: TextDocument[]; report: SourceReport }> {
  const documents: TextDocument[] = [];
  let report: SourceReport | null = null;
  const options = { chatTemplate: template, onReport: (found: SourceReport) => (report = found) };
  for await (const document of readDocuments(spec, options)) documents.push(document);
  return { documents, report: report! };
}

async function texts(spec: string, template: ChatTemplate | null = chatTemplate): Promise<string[]> {
  return (await readAll(spec, template)).documents.map(({ text }) => text);
}

describe("chats", () => {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: [{ type: "text", text: "One?" }, "Two?"] },
    { role: "assistant", content: "Three." },
  ];
  const expected = "<system>Be brief.<user>One?\nTwo?<assistant>Three.";

  test.for<[string, object]>([
    ["messages", { messages }],
    ["messages besides a prompt", { prompt: "One?", messages }],
    ["a field named by the user", { other: messages, "#": "other" }],
    ["conversations", { conversations: messages }],
    ["prompt and completion in messages, as in TRL", { prompt: messages.slice(0, 2), completion: messages.slice(2) }],
    [
      "ShareGPT",
      {
        conversations: [
          { from: "system", value: "Be brief." },
          { from: "human", value: "One?\nTwo?" },
          { from: "gpt", value: "Three.", weight: 1 },
        ],
      },
    ],
  ])("are read from %s", async ([, row]) => {
    const { "#": field, ...rest } = row as { "#"?: string };
    const path = await write("chat.jsonl", jsonl(rest));
    const { documents } = await readAll(field === undefined ? path : `${path}#${field}`);
    expect(documents).toEqual([{ text: expected, source: `${path}:1`, isRendered: true }]);
  });

  test("bring their tools, and calls of tools have no content", async () => {
    const call = { role: "assistant", content: null, tool_calls: [{ function: { name: "f", arguments: {} } }] };
    const path = await write("tools.jsonl", jsonl({ messages: [messages[2], call], tools: [{ name: "f" }, { name: "g" }] }));
    expect(await texts(path)).toEqual(["<assistant>Three.<assistant>|2"]);
  });

  test("say what was read", async () => {
    const path = await write("chats.jsonl", jsonl({ messages }, { messages: [] }, { messages: null }));
    const { report } = await readAll(path);
    const fields = ["messages (chat template)"];
    expect(report).toEqual({ spec: path, documents: 1, fields, withoutText: 2, unusable: 0, notes: [] });
  });

  test("need a chat template; the remedy reads their contents without one", async () => {
    for (const [row, field] of [
      [{ messages }, "messages.content"],
      [
        {
          conversations: [
            { from: "human", value: "a" },
            { from: "gpt", value: "b" },
          ],
        },
        "conversations.value",
      ],
    ] as const) {
      const path = await write("base.jsonl", jsonl(row, row));
      const error = await errorOf(readAll(path, null));
      expect(error.code).toBe("CHAT_TEMPLATE_MISSING");
      expect(error.parts.remedy).toContain(`${path}#${field}`);
      expect(await texts(`${path}#${field}`, null)).toHaveLength(2);
    }
    const path = await write("base.jsonl", jsonl({ messages: [messages[0], messages[2]] }));
    expect(await texts(`${path}#messages.content`, null)).toEqual(["Be brief.\n\nThree."]);
  });

  test.for<[string, readonly object[], string, string]>([
    ["an unknown role of ShareGPT", [{ from: "alien", value: "x" }], "CORPUS_FIELD", "the unknown role 'alien' in message 0"],
    ["an image", [{ role: "user", content: [{ type: "image", url: "x" }] }], "CORPUS_FIELD", "no text in message 0"],
    ["a role that the template refuses", [{ role: "alien", content: "x" }], "CORPUS_CHAT", "refuses (role alien)"],
  ])("with %s are refused", async ([, broken, code, part]) => {
    const error = await errorOf(readAll(await write("bad.jsonl", jsonl({ messages: broken }))));
    expect(error.code).toBe(code);
    expect(error.message).toContain(part);
  });
});

describe("pairs", () => {
  const alpaca = "Below is an instruction that describes a task";
  const request = "Write a response that appropriately completes the request.";
  test.for<[string, object, string, string, string]>([
    ["prompt + completion", { prompt: "2+2 =", completion: " 4" }, "2+2 = 4", "<user>2+2 =<assistant> 4", "prompt + completion"],
    ["no space between", { prompt: "Why?", completion: "So." }, "Why?\nSo.", "<user>Why?<assistant>So.", "prompt + completion"],
    [
      "Alpaca without input",
      { instruction: "Add.", input: "", output: "4" },
      `${alpaca}. ${request}\n\n### Instruction:\nAdd.\n\n### Response:\n4`,
      "<user>Add.<assistant>4",
      "instruction + input + output",
    ],
    [
      "Alpaca",
      { instruction: "Add.", input: "2, 2", output: "4" },
      `${alpaca}, paired with an input that provides further context. ${request}\n\n` +
        "### Instruction:\nAdd.\n\n### Input:\n2, 2\n\n### Response:\n4",
      "<user>Add.\n2, 2<assistant>4",
      "instruction + input + output",
    ],
    [
      "a question and a system prompt",
      { system_prompt: "Be brief.", question: "2+2?", response: "4" },
      "Be brief.\n\nQuestion: 2+2?\nAnswer: 4",
      "<system>Be brief.<user>2+2?<assistant>4",
      "system_prompt + question + response",
    ],
  ])("%s", async ([, row, text, chat, fields]) => {
    const path = await write("pairs.jsonl", jsonl(row));
    expect(await texts(path, null)).toEqual([text]);
    const { documents, report } = await readAll(path);
    expect(documents).toEqual([{ text: chat, source: `${path}:1`, isRendered: true }]);
    expect(report.fields).toEqual([`${fields} (chat template)`]);
  });

  test("one field alone can be read, and `text` comes first", async () => {
    const path = await write("pairs.jsonl", jsonl({ prompt: "a", completion: "b", meta: { note: "c" } }));
    expect(await texts(`${path}#completion`)).toEqual(["b"]);
    expect(await texts(`${path}#meta.note`)).toEqual(["c"]);
    expect(await texts(await write("text.jsonl", jsonl({ prompt: "a", completion: "b", text: "c" })))).toEqual(["c"]);
    expect(await texts(`${await write("dots.jsonl", jsonl({ "a.b": "literal", a: { b: "inside" } }))}#a.b`)).toEqual(["literal"]);
  });

  test("a completion alone is not read silently", async () => {
    const path = await write("half.jsonl", jsonl({ id: 7, completion: "b" }));
    const error = await errorOf(readAll(path));
    expect(error.code).toBe("CORPUS_FIELD");
    expect(error.parts.remedy).toBe(`Name the field that holds the text, e.g. ${path}#completion`);
  });
});

describe("tables", () => {
  test.for<[string, string, string, string[]]>([
    ["a.csv", 'id,text\n1,one\n2,"two, ""2""\nlines"\n', "", ["one", 'two, "2"\nlines']],
    ["b.csv", "\ufeffid;text\r\n1;eins, zwei\r\n\r\n2;drei", "", ["eins, zwei", "drei"]],
    ["c.tsv", 'id\ttext\n1\tthe "word" stays\n', "", ['the "word" stays']],
    ["d.csv", "id,body\n1,one\n", "#body", ["one"]],
    ["e.csv", "prompt,completion\n1 + 1 =, 2\n", "", ["<user>1 + 1 =<assistant> 2"]],
  ])("%s", async ([name, content, field, expected]) => {
    expect(await texts(`${await write(name, content)}${field}`)).toEqual(expected);
  });

  test("read back any values, quoted as in RFC 4180", async () => {
    const cell = fc.string({ unit: "grapheme", maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 20 }), async (rows) => {
        const quote = (value: string): string => `"${value.replaceAll('"', '""')}"`;
        const lines = rows.map((row) => row.map(quote).join(","));
        expect(await texts(await write("any.csv", ["id,text", ...lines].join("\r\n")))).toEqual(rows.map(([, text]) => text));
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
    const error = await errorOf(readAll(await write(name, content)));
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
    expect(await texts(await write("a.json", content))).toEqual(expected);
  });

  test("are split alike wherever a read ends", async () => {
    const items = Array.from({ length: 3 }, (_, i) => ({ text: `"${"\\é".repeat(200_000 + i)}]}` }));
    expect(await texts(await write("long.json", JSON.stringify(items)))).toEqual(items.map(({ text }) => text));
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
    const error = await errorOf(readAll(await write("bad.json", content)));
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
    expect(await texts(await write(name, Buffer.concat(parts)))).toEqual(["one", "two"]);
  });

  test("Zstandard frames of every kind are read as zstd wrote them", async () => {
    expect(await texts(join(FIXTURES, "corpora/frames.jsonl.zst"))).toEqual(lines);
    expect(await texts(join(FIXTURES, "corpora/repeated.jsonl.zst"))).toEqual(["a".repeat(300_000)]);
  });

  test("plain text", async () => {
    expect(await texts(await write("b.txt.gz", gzipSync("one\n\ntwo")))).toEqual(["one\n\ntwo"]);
  });

  test.for<[string, Uint8Array, string, string]>([
    ["c.jsonl.gz", gzipSync(jsonl({ text: "one" })).subarray(0, 20), "CORPUS_COMPRESSED", "unexpected end of file"],
    ["d.jsonl.gz", Buffer.from(jsonl({ text: "one" })), "CORPUS_COMPRESSED", "remove the last extension"],
    ["e.jsonl.zst", Buffer.from(jsonl({ text: "one" })), "CORPUS_COMPRESSED", "no Zstandard frame"],
    ["f.jsonl.gz", gzipSync(Buffer.alloc(70 * 2 ** 20, "a")), "CORPUS_TOO_LARGE", "a line of more than"],
  ])("refuses %s", async ([name, content, code, part]) => {
    const error = await errorOf(readAll(await write(name, content)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(part);
  });

  test("refuses a file that is made to fill the memory, and a window above the limit", async () => {
    const part = gzipSync(`${" ".repeat(2 ** 25)}\n`);
    const bomb = await write("bomb.jsonl.gz", Buffer.concat(Array.from({ length: 33 }, () => part)));
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
        const outcome = await readAll(await write("damaged.jsonl.zst", content)).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toHaveProperty("code", expect.stringMatching(/^CORPUS_/));
      }
    }
  });
});

describe("unusable rows", () => {
  const rows = (count: number, ...broken: readonly string[]): string =>
    [...Array.from({ length: count }, (_, i) => JSON.stringify({ text: `row ${i}` })), ...broken].join("\n");

  test("up to one in a hundred are skipped and reported, and rows without a text as well", async () => {
    const broken = ["{", '{"body":"x"}', '{"text":7}', "\u00a0", '{"text":null}', '{"text":null}'];
    const path = await write("few.jsonl", rows(400, ...broken));
    const { documents, report } = await readAll(path);
    expect(documents).toHaveLength(400);
    expect(report).toMatchObject({ documents: 400, withoutText: 2, unusable: 3, fields: ["text"] });
    expect(report.notes).toEqual([expect.stringMatching(/^skipped 3 unusable rows, the first: .*few\.jsonl:401: found "\{"/)]);
  });

  test("a byte that is not UTF-8 makes one line unusable", async () => {
    const path = await write(
      "byte.jsonl",
      Buffer.concat([Buffer.from(`${rows(99)}\n{"text":"`), Buffer.of(0xe9), Buffer.from('"}\n')]),
    );
    expect((await readAll(path)).report).toMatchObject({ documents: 99, unusable: 1 });
  });

  test.for<[number, number]>([
    [8, 1],
    [29, 4],
    [300, 4],
  ])("of %i good rows and %i others the file is refused, with the first of them named", async ([good, bad]) => {
    const path = await write("many.jsonl", rows(good, ...Array.from({ length: bad }, () => "{")));
    const error = await errorOf(readAll(path));
    expect(error.code).toBe("CORPUS_JSON");
    expect(error.parts.where).toBe(`${path}:${good + 1}`);
    if (bad > 1) expect(error.parts.found).toContain(`${bad - 1} more of ${good + bad} rows cannot be used (:${good + 2}, `);
  });

  test.for<[number, number]>([
    [9, 1],
    [27, 3],
    [400, 4],
  ])("of %i good rows and %i others the file is read", async ([good, bad]) => {
    const path = await write("ok.jsonl", rows(good, ...Array.from({ length: bad }, () => "{")));
    expect((await readAll(path)).report).toMatchObject({ documents: good, unusable: bad });
  });

  test("a large file in another format is refused after its first lines", async () => {
    const path = await write("prose.jsonl", "Once upon a time\n".repeat(100_000));
    expect((await errorOf(readAll(path))).parts.found).toContain("99 more of 100 rows");
  });

  test("a first row that is unusable does not decide how the others are read", async () => {
    const path = await write("first.jsonl", jsonl({ id: 1 }, ...Array.from({ length: 20 }, (_, i) => ({ text: `row ${i}` }))));
    expect((await readAll(path)).report).toMatchObject({ documents: 20, unusable: 1 });
  });
});

describe("Parquet", () => {
  test.for(["nested-1", "nested-2"])("lists and pairs in %s as pyarrow reads them", async (name) => {
    const path = join(FIXTURES, `parquet/${name}.parquet`);
    const golden = JSON.parse(await readFile(join(FIXTURES, "parquet/nested.json"), "utf8")) as {
      repeated: number;
      rows: { messages: { role: string; content: string }[] | null; parts: (string | null)[] | null }[];
    };
    const chats = golden.rows
      .slice(0, 2)
      .map(({ messages }) => messages!.map(({ role, content }) => `<${role}>${content}`).join(""));
    // The fifth row has messages without a role or a text: more than may be skipped.
    const error = await errorOf(readAll(path));
    expect(error.code).toBe("CORPUS_FIELD");
    expect(error.parts.where).toBe(`${path}:row 4`);
    const readable: string[] = [];
    try {
      for await (const { text } of readDocuments(path, { chatTemplate })) readable.push(text);
    } catch {
      // As above.
    }
    expect(readable.slice(0, 6)).toEqual([...chats, ...chats, ...chats]);
    const required = await texts(join(FIXTURES, "parquet/required.parquet"));
    expect(required).toEqual([chats[0], chats[0], chats[0], chats[1], chats[1], chats[1]]);
  });
});

describe("folders", () => {
  test("what cannot be read is passed over and named", async () => {
    const base = join(folder, "mixed");
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

  test.skipIf(process.getuid?.() === 0)("a locked folder and a locked file are passed over", async () => {
    const base = join(folder, "locked");
    await mkdir(join(base, "sub"), { recursive: true });
    await writeFile(join(base, "a.txt"), "text a");
    await writeFile(join(base, "b.txt"), "text b");
    await chmod(join(base, "sub"), 0);
    await chmod(join(base, "b.txt"), 0);
    expect((await readAll(base)).report.notes[0]).toMatch(/b\.txt: no permission.*sub: no permission/);
    await chmod(join(base, "sub"), 0o700);
  });

  test("without a corpus file say what is there", async () => {
    const base = join(folder, "plain");
    await mkdir(base);
    await writeFile(join(base, "LICENSE"), "text");
    const error = await errorOf(readAll(base));
    expect(error.code).toBe("CORPUS_EMPTY");
    expect(error.parts.found).toBe(`1 files of other kinds (${join(base, "LICENSE")})`);
    expect(error.parts.remedy).toContain(`for f in ${base}/*; do mv "$f" "$f.txt"; done`);
    await mkdir(join(folder, "dangling"));
    await symlink("/nonexistent", join(folder, "dangling", "a.txt"));
    expect((await errorOf(readAll(join(folder, "dangling")))).code).toBe("CORPUS_NOT_FOUND");
  });
});

describe("other files", () => {
  test("UTF-16 with its mark is read, in both orders", async () => {
    const text = "Grüße 😀\n\nEnde";
    const little = Buffer.from(`\ufeff${text}`, "utf16le");
    expect(await texts(await write("le.txt", little))).toEqual([text]);
    expect(await texts(await write("be.txt", Buffer.from(little).swap16()))).toEqual([text]);
    expect(await texts(await write("le.jsonl", Buffer.from(`\ufeff${jsonl({ text })}`, "utf16le")))).toEqual([text]);
    const odd = await errorOf(readAll(await write("odd.txt", little.subarray(0, -1))));
    expect(odd.code).toBe("CORPUS_ENCODING");
    expect((await errorOf(readAll(await write("utf32.txt", Buffer.of(0xff, 0xfe, 0, 0, 97, 0, 0, 0))))).message).toContain(
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
    const error = await errorOf(readAll(await write(name, "x")));
    expect(error.code).toBe("CORPUS_FORMAT");
    expect(error.parts.remedy).toMatch(remedy);
  });

  test("pipes and devices are refused without waiting", async () => {
    const pipe = join(folder, "pipe.jsonl");
    execFileSync("mkfifo", [pipe]);
    expect((await errorOf(readAll(pipe))).message).toContain("a named pipe");
    await symlink("/dev/zero", join(folder, "zero.txt"));
    expect((await errorOf(readAll(join(folder, "zero.txt")))).message).toContain("a device");
    await symlink(folder, join(folder, "loop.parquet"));
  });
});
