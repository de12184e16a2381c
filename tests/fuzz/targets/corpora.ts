/**
 * @file Files with text, of every format that is read, and evaluation files.
 */

import { readFileSync, readdirSync } from "node:fs";
import { extname, join } from "node:path";
import * as zlib from "node:zlib";
import { loadCorpora } from "../../../src/corpora/load.ts";
import { readDocuments } from "../../../src/corpora/read-documents.ts";
import { createTokenizer } from "../../../src/corpora/tokenizer.ts";
import { CusprunError } from "../../../src/errors.ts";
import { RequestMaker } from "../../../src/evaluation/requests.ts";
import { readTasks } from "../../../src/evaluation/task-file.ts";
import { tinyTokenizerFiles } from "../../support/tiny-models.ts";
import { mutateBytes } from "../mutate/bytes.ts";
import { mutateJsonLines, mutateText } from "../mutate/text.ts";
import { mutateParquet } from "../mutate/thrift.ts";
import { FIXTURES } from "../paths.ts";
import type { Random } from "../random.ts";
import type { Base, Target } from "../target.ts";
import { mutateJsonFile, SMALL_TEXT as SHORT_TEXT, smallModel } from "./small-models.ts";

/** Long enough for a document. */
const SMALL_TEXT = `${SHORT_TEXT} ${SHORT_TEXT} ${SHORT_TEXT}`;

const CHAT_TEMPLATE = "{% for message in messages %}{{ message.role + ' ' + message.content }}\n{% endfor %}";
const files = tinyTokenizerFiles(16);
const words = createTokenizer({ ...files, tokenizerConfig: { ...files.tokenizerConfig, chat_template: CHAT_TEMPLATE } }, "words");

const lines = (...records: readonly unknown[]): string => `${records.map((record) => JSON.stringify(record)).join("\n")}\n`;
const turn = (role: string, content: string): object => ({ role, content });

/** A text file of every format, by name. */
const TEXTS: Readonly<Record<string, string>> = {
  "plain.txt": `${SMALL_TEXT}\n\nw1 w2 w3 w4\r\nw5 äöü 文 😀\n\n\n${SMALL_TEXT}\n`,
  "prose.md": `# A title\n\n${SMALL_TEXT}\n\n- one\n- two\n\n\`\`\`js\ncode\n\`\`\`\n`,
  "texts.jsonl": lines({ text: SMALL_TEXT, source: "a" }, { text: "w1 w2 w3", n: 1 }, { text: "ü文😀 w1 w2 w3 w4" }),
  "chats.jsonl": lines(
    { messages: [turn("system", "w1"), turn("user", "w1 w2 w3"), turn("assistant", "w4 w5 w6")] },
    { messages: [turn("user", SMALL_TEXT), turn("assistant", "w1 w2")] },
  ),
  "sharegpt.jsonl": lines({
    conversations: [
      { from: "human", value: "w1 w2 w3" },
      { from: "gpt", value: SMALL_TEXT },
    ],
  }),
  "pairs.ndjson": lines({ prompt: "w1 w2", completion: "w3 w4 w5" }, { prompt: SMALL_TEXT, completion: " w1" }),
  "instructions.jsonl": lines(
    { instruction: "w1 w2", input: "w9", output: "w3 w4 w5" },
    { instruction: SMALL_TEXT, input: "", output: "w1" },
  ),
  "list.json": JSON.stringify([{ text: SMALL_TEXT }, { text: "w1 w2 w3 w4" }], null, 1),
  "table.csv": `text,label\n"${SMALL_TEXT}, w1",1\n"w1 ""w2""\nw3",0\nw4 w5 w6,2\n`,
  "table.tsv": `text\tlabel\n${SMALL_TEXT}\t1\nw1 w2 w3\t0\n`,
};

/** Text, JSON Lines, tables, and all of them compressed. */
export const corpus: Target = {
  name: "corpus",
  weight: 3,
  bases: async () => {
    const plain = Object.entries(TEXTS).map(([name, text]): [string, Buffer] => [name, Buffer.from(text)]);
    const packed = ["texts.jsonl", "plain.txt", "table.csv"].map((name): [string, Buffer] => [
      `${name}.gz`,
      zlib.gzipSync(TEXTS[name]!),
    ]);
    return [...plain, ...packed].map(([name, bytes]): Base => ({
      name: name.replaceAll(".", "-"),
      files: new Map([[name, bytes]]),
      changed: [name],
    }));
  },
  mutate: (file, contents, random, others) => mutateCorpus(file, contents, random, others),
  run: (folder) => readCorpus(join(folder, readdirSync(folder)[0]!)),
};

function mutateCorpus(file: string, contents: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  switch (extname(file)) {
    case ".jsonl":
    case ".ndjson":
      return mutateJsonLines(contents, random, others);
    case ".json":
      return random.chance(0.7) ? mutateJsonFile(contents, random) : mutateText(contents, random, others);
    case ".gz":
      return mutateBytes(contents, random, others);
    default:
      return mutateText(contents, random, others);
  }
}

/** Parquet files of every compression. */
export const parquet: Target = {
  name: "parquet",
  weight: 2,
  bases: async () =>
    readdirSync(join(FIXTURES, "parquet"))
      // Node has zstd since 22.15; damaged files are refused as they are, and the nested ones have other columns.
      .filter((name) => name.endsWith(".parquet") && !/^(?:not-utf8|damaged-footer|endless|required|nested-\d)\./.test(name))
      .filter((name) => name !== "zstd.parquet" || "zstdDecompressSync" in zlib)
      .map((name): Base => {
        const contents = readFileSync(join(FIXTURES, "parquet", name));
        return {
          name: name.replace(".parquet", ""),
          files: new Map([["corpus.parquet", contents]]),
          changed: ["corpus.parquet"],
        };
      }),
  mutate: (_, contents, random, others) => mutateParquet(contents, random, others),
  run: (folder) => readCorpus(`${join(folder, "corpus.parquet")}#body`),
};

async function readCorpus(spec: string): Promise<void> {
  for await (const { text } of readDocuments(spec, { chatTemplate: words.chatTemplate ?? null })) {
    if (typeof text !== "string") throw new TypeError("a document without text");
  }
  // Documents that are only short were read all the same.
  await loadCorpora({ language: [spec] }, words, { documents: 4, heldOutDocuments: 0, maxTokens: 32 }).catch((error: unknown) => {
    if (!(error instanceof CusprunError) || error.code !== "CORPUS_TOO_SHORT") throw error;
  });
}

const TASKS: Readonly<Record<string, string>> = {
  choices: lines(
    { id: "1", type: "multiple_choice", context: "w1 w2", choices: ["w3", "w4 w5"], answer: 0 },
    { id: "2", type: "multiple_choice", context: "", choices: ["w3", "w4", "w5"], answer: 2 },
  ),
  texts: lines({ id: "1", type: "perplexity", text: SMALL_TEXT }, { type: "perplexity", text: "w1" }),
  prompts: lines(
    { type: "generation", prompt: "w1 w2", references: ["w3"], metric: "exact_match", extract: "first_word", max_tokens: 4 },
    { type: "generation", prompt: "w1 w2", references: ["w3", "w4"], metric: "rougeL" },
  ),
};

/** Evaluation files. */
export const tasks: Target = {
  name: "tasks",
  weight: 2,
  bases: async () =>
    Object.entries(TASKS).map(([name, text]): Base => ({
      name,
      files: new Map([["task.jsonl", Buffer.from(text)]]),
      changed: ["task.jsonl"],
    })),
  mutate: (_, contents, random, others) => mutateJsonLines(contents, random, others),
  run: async (folder) => {
    const read = await readTasks([folder]);
    const maker = new RequestMaker(words, smallModel("llama").config);
    for (const item of read.flatMap(({ items }) => items)) {
      if (item.type === "multiple_choice") maker.choices(item);
      if (item.type === "perplexity") maker.windows(item);
    }
  },
};
