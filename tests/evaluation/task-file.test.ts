/** @file Evaluation files: those that are read, and those that are refused with a described error. */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readTask, readTasks } from "../../src/evaluation/task-file.ts";
import { allowRefusal, errorOf } from "../support/temporary-gguf.ts";
import { withFolder } from "../support/temporary-folder.ts";

const CHOICE = { id: "a", type: "multiple_choice", context: "Sky?", choices: ["blue", "green"], answer: 0 };
const TEXT = { type: "perplexity", text: "The sky is blue." };
const PROMPT = { type: "generation", prompt: "Sky?", references: ["blue"], metric: "f1" };

/** Writes lines (objects as JSON) and runs a test with the file. */
function withLines<T>(lines: readonly unknown[], use: (path: string) => Promise<T>): Promise<T> {
  return withFolder(async (folder) => {
    const path = join(folder, "sky.jsonl");
    await writeFile(path, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
    return use(path);
  });
}

describe("an evaluation file", () => {
  test("of multiple choice", () =>
    withLines([CHOICE, "", { ...CHOICE, id: undefined, answer: 1, language: "en" }], async (path) => {
      const { choices, context } = CHOICE;
      expect(await readTask(path)).toEqual({
        name: "sky",
        path,
        type: "multiple_choice",
        items: [
          { type: "multiple_choice", id: "a", source: `${path}:1`, context, choices, answer: 0 },
          { type: "multiple_choice", id: "2", source: `${path}:3`, context, choices, answer: 1 },
        ],
      });
    }));

  test("of texts and of prompts", async () => {
    await withLines([TEXT], async (path) =>
      expect((await readTask(path)).items).toEqual([{ ...TEXT, id: "1", source: `${path}:1` }]),
    );
    await withLines([PROMPT], async (path) =>
      expect((await readTask(path)).items).toEqual([{ ...PROMPT, id: "1", source: `${path}:1` }]),
    );
    await withLines([{ ...PROMPT, extract: "first_word", max_tokens: 9 }], async (path) =>
      expect((await readTask(path)).items).toEqual([
        { ...PROMPT, id: "1", source: `${path}:1`, extract: "first_word", maxTokens: 9 },
      ]),
    );
  });

  test("is not read past the limit", () =>
    withLines([CHOICE, CHOICE, "no JSON"], async (path) => expect((await readTask(path, 2)).items).toHaveLength(2)));

  test("may be in a folder among others, and is read once", () =>
    withLines([CHOICE], async (path) => {
      const folder = join(path, "..");
      await writeFile(join(folder, "README.md"), "no task");
      await writeFile(join(folder, "night.ndjson"), JSON.stringify(TEXT));
      expect((await readTasks([folder, path])).map(({ name }) => name)).toEqual(["night", "sky"]);
    }));

  test.each([
    [["{"], "CORPUS_JSON", 1],
    [[CHOICE, "[1]"], "CORPUS_JSON", 2],
    [[{ text: "no type" }], "TASK_FIELD", 1],
    [[{ ...TEXT, type: "regression" }], "TASK_TYPE", 1],
    [[CHOICE, TEXT], "TASK_TYPE", 2],
    [[{ ...CHOICE, context: 5 }], "TASK_FIELD", 1],
    [[{ ...CHOICE, choices: "blue" }], "TASK_FIELD", 1],
    [[{ ...CHOICE, choices: ["blue"] }], "TASK_FIELD", 1],
    [[{ ...CHOICE, choices: ["blue", null] }], "TASK_FIELD", 1],
    [[{ ...CHOICE, choices: ["blue", ""] }], "TASK_FIELD", 1],
    [[{ ...CHOICE, choices: Array.from({ length: 1001 }, () => "blue") }], "TASK_FIELD", 1],
    [[{ ...CHOICE, answer: undefined }], "TASK_FIELD", 1],
    [[{ ...CHOICE, answer: "0" }], "TASK_FIELD", 1],
    [[CHOICE, { ...CHOICE, answer: 2 }], "TASK_ANSWER", 2],
    [[{ ...CHOICE, answer: -1 }], "TASK_ANSWER", 1],
    [[{ ...CHOICE, answer: 0.5 }], "TASK_ANSWER", 1],
    [[{ ...TEXT, text: "" }], "TASK_FIELD", 1],
    [[{ ...PROMPT, metric: "bleu" }], "TASK_METRIC", 1],
    [[{ ...PROMPT, extract: "middle" }], "TASK_FIELD", 1],
    [[{ ...PROMPT, max_tokens: 0 }], "TASK_FIELD", 1],
    [[{ ...PROMPT, max_tokens: "9" }], "TASK_FIELD", 1],
    [[{ ...PROMPT, metric: undefined }], "TASK_FIELD", 1],
    [[{ ...PROMPT, references: [] }], "TASK_FIELD", 1],
  ])("case %#: refused with its line", (lines, code, line) =>
    withLines(lines, async (path) => {
      const error = await errorOf(readTask(path));
      expect({ code: error.code, where: error.parts.where }).toEqual({ code, where: `${path}:${line}` });
    }),
  );

  test("that is missing, empty or something else is refused", () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, "empty.jsonl"), "\n\n");
      await writeFile(join(folder, "task.txt"), JSON.stringify(CHOICE));
      await mkdir(join(folder, "nothing"));
      const codeOf = async (name: string) => (await errorOf(readTasks([join(folder, name)]))).code;
      expect(await codeOf("absent.jsonl")).toBe("CORPUS_NOT_FOUND");
      expect(await codeOf("empty.jsonl")).toBe("CORPUS_EMPTY");
      expect(await codeOf("task.txt")).toBe("CORPUS_FORMAT");
      expect(await codeOf("nothing")).toBe("CORPUS_FORMAT");
    }));

  test("of any JSON is either read or refused", () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(CHOICE, TEXT, PROMPT),
        fc.dictionary(fc.constantFrom("type", "context", "choices", "answer", "text", "references", "metric"), fc.jsonValue()),
        (item, changes) => withLines([{ ...item, ...changes }], (path) => allowRefusal(readTask(path))),
      ),
      { numRuns: 200 },
    ));
});
