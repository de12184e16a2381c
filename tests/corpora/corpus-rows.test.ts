/**
 * @file The rows of structured files: chats, pairs, the fields that the user names, and how many rows may be unusable.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readDocuments } from "../../src/corpora/read-documents.ts";
import { chatTemplate, CorpusFolder, jsonl, readAll, textsOf } from "../support/corpora.ts";
import { errorOf } from "../support/temporary-gguf.ts";

const folder = new CorpusFolder();
const FIXTURES = join(import.meta.dirname, "../fixtures");

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
    const path = await folder.write("chat.jsonl", jsonl(rest));
    const { documents } = await readAll(field === undefined ? path : `${path}#${field}`);
    expect(documents).toEqual([{ text: expected, source: `${path}:1`, isRendered: true }]);
  });

  test("bring their tools, and calls of tools have no content", async () => {
    const call = { role: "assistant", content: null, tool_calls: [{ function: { name: "f", arguments: {} } }] };
    const path = await folder.write(
      "tools.jsonl",
      jsonl({ messages: [messages[2], call], tools: [{ name: "f" }, { name: "g" }] }),
    );
    expect(await textsOf(path)).toEqual(["<assistant>Three.<assistant>|2"]);
  });

  test("say what was read", async () => {
    const path = await folder.write("chats.jsonl", jsonl({ messages }, { messages: [] }, { messages: null }));
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
      const path = await folder.write("base.jsonl", jsonl(row, row));
      const error = await errorOf(readAll(path, null));
      expect(error.code).toBe("CHAT_TEMPLATE_MISSING");
      expect(error.parts.remedy).toContain(`${path}#${field}`);
      expect(await textsOf(`${path}#${field}`, null)).toHaveLength(2);
    }
    const path = await folder.write("base.jsonl", jsonl({ messages: [messages[0], messages[2]] }));
    expect(await textsOf(`${path}#messages.content`, null)).toEqual(["Be brief.\n\nThree."]);
  });

  test.for<[string, readonly object[], string, string]>([
    ["an unknown role of ShareGPT", [{ from: "alien", value: "x" }], "CORPUS_FIELD", "the unknown role 'alien' in message 0"],
    ["an image", [{ role: "user", content: [{ type: "image", url: "x" }] }], "CORPUS_FIELD", "no text in message 0"],
    ["a role that the template refuses", [{ role: "alien", content: "x" }], "CORPUS_CHAT", "refuses (role alien)"],
  ])("with %s are refused", async ([, broken, code, part]) => {
    const error = await errorOf(readAll(await folder.write("bad.jsonl", jsonl({ messages: broken }))));
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
    const path = await folder.write("pairs.jsonl", jsonl(row));
    expect(await textsOf(path, null)).toEqual([text]);
    const { documents, report } = await readAll(path);
    expect(documents).toEqual([{ text: chat, source: `${path}:1`, isRendered: true }]);
    expect(report.fields).toEqual([`${fields} (chat template)`]);
  });

  test("one field alone can be read, and `text` comes first", async () => {
    const path = await folder.write("pairs.jsonl", jsonl({ prompt: "a", completion: "b", meta: { note: "c" } }));
    expect(await textsOf(`${path}#completion`)).toEqual(["b"]);
    expect(await textsOf(`${path}#meta.note`)).toEqual(["c"]);
    expect(await textsOf(await folder.write("text.jsonl", jsonl({ prompt: "a", completion: "b", text: "c" })))).toEqual(["c"]);
    expect(await textsOf(`${await folder.write("dots.jsonl", jsonl({ "a.b": "literal", a: { b: "inside" } }))}#a.b`)).toEqual([
      "literal",
    ]);
  });

  test("a completion alone is not read silently", async () => {
    const path = await folder.write("half.jsonl", jsonl({ id: 7, completion: "b" }));
    const error = await errorOf(readAll(path));
    expect(error.code).toBe("CORPUS_FIELD");
    expect(error.parts.remedy).toBe(`Name the field that holds the text, e.g. ${path}#completion`);
  });
});

describe("unusable rows", () => {
  const rows = (count: number, ...broken: readonly string[]): string =>
    [...Array.from({ length: count }, (_, i) => JSON.stringify({ text: `row ${i}` })), ...broken].join("\n");

  test("up to one in a hundred are skipped and reported, and rows without a text as well", async () => {
    const broken = ["{", '{"body":"x"}', '{"text":7}', "\u00a0", '{"text":null}', '{"text":null}'];
    const path = await folder.write("few.jsonl", rows(400, ...broken));
    const { documents, report } = await readAll(path);
    expect(documents).toHaveLength(400);
    expect(report).toMatchObject({ documents: 400, withoutText: 2, unusable: 3, fields: ["text"] });
    expect(report.notes).toEqual([expect.stringMatching(/^skipped 3 that cannot be used, the first .*few\.jsonl:401: "\{" \(/)]);
  });

  test("a byte that is not UTF-8 makes one line unusable", async () => {
    const path = await folder.write(
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
    const path = await folder.write("many.jsonl", rows(good, ...Array.from({ length: bad }, () => "{")));
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
    const path = await folder.write("ok.jsonl", rows(good, ...Array.from({ length: bad }, () => "{")));
    expect((await readAll(path)).report).toMatchObject({ documents: good, unusable: bad });
  });

  test("a large file in another format is refused after its first lines", async () => {
    const path = await folder.write("prose.jsonl", "Once upon a time\n".repeat(100_000));
    expect((await errorOf(readAll(path))).parts.found).toContain("99 more of 100 rows");
  });

  test("a first row that is unusable does not decide how the others are read", async () => {
    const path = await folder.write(
      "first.jsonl",
      jsonl({ id: 1 }, ...Array.from({ length: 20 }, (_, i) => ({ text: `row ${i}` }))),
    );
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
    const required = await textsOf(join(FIXTURES, "parquet/required.parquet"));
    expect(required).toEqual([chats[0], chats[0], chats[0], chats[1], chats[1], chats[1]]);
  });
});
