/**
 * @file Chat templates: texts and token ids equal to those of transformers' `apply_chat_template`, and bounds for
 * templates that would not end.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type ChatMessage,
  chatTemplateOf,
  compileChatTemplate,
  readChatTemplate,
  type RenderedChat,
} from "../../src/corpora/chat-template.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { CusprunError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";

interface Goldens {
  readonly chats: Readonly<Record<string, readonly ChatMessage[]>>;
  readonly formats: readonly {
    readonly name: string;
    readonly tokenizerJson: JsonObject;
    readonly tokenizerConfig: JsonObject;
    readonly chats: Readonly<Record<string, { text: string; ids: number[] } | { refused: string }>>;
  }[];
}

/** Written by tests/reference/make_chat_goldens.py. */
const goldens = JSON.parse(readFileSync(join(import.meta.dirname, "../fixtures/chat-goldens.json"), "utf8")) as Goldens;

const USER: ChatMessage = { role: "user", content: "Hello" };

function render(source: string, messages: readonly ChatMessage[] = [USER], tokens: JsonObject = {}): RenderedChat {
  return compileChatTemplate(readChatTemplate({ chat_template: source, ...tokens }, "model")!)(messages, null);
}

function errorOf(run: () => unknown): CusprunError {
  try {
    run();
  } catch (error) {
    if (error instanceof CusprunError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe.each(goldens.formats)("the format of $name", ({ name, tokenizerJson, tokenizerConfig, chats }) => {
  const tokenizer = createTokenizer({ tokenizerJson, tokenizerConfig, files: new Map() }, name);
  const renderChat = compileChatTemplate(tokenizer.chatTemplate!);

  test.for(Object.keys(goldens.chats))("renders %s as transformers does", (title) => {
    const expected = chats[title]!;
    const rendered = renderChat(goldens.chats[title]!, null);
    if ("refused" in expected) {
      expect(rendered).toEqual({ refusal: expect.any(String) as string });
      return;
    }
    expect(rendered).toEqual({ text: expected.text });
    const ids = Array.from(tokenizer.encode(expected.text, "a chat", true));
    // Where the template writes no BOS and the tokenizer adds one, llama.cpp adds it to chats; transformers does not.
    const isAdded = name === "bos-by-tokenizer";
    expect(ids).toEqual(isAdded ? [...tokenizer.prefix, ...expected.ids] : expected.ids);
    expect(ids.filter((id) => tokenizer.prefix.includes(id))).toHaveLength(tokenizer.prefix.length);
  });
});

describe("readChatTemplate", () => {
  test("takes the entry `default` of a list, and special tokens in both of their forms", () => {
    const config = {
      chat_template: [
        { name: "tool_use", template: "no" },
        { name: "default", template: "{{ bos_token }}{{ eos_token }}" },
      ],
      bos_token: "<s>",
      eos_token: { content: "</s>", lstrip: false },
    };
    expect(compileChatTemplate(readChatTemplate(config, "model")!)([USER], null)).toEqual({ text: "<s></s>" });
  });

  test.for<[string, unknown]>([
    ["none", undefined],
    ["null", null],
    ["a number", 7],
    ["a list without a default", [{ name: "tool_use", template: "x" }]],
  ])("finds nothing in %s", ([, value]) => {
    expect(chatTemplateOf(value)).toBeNull();
    expect(readChatTemplate({ chat_template: value }, "model")).toBeNull();
  });
});

describe("a template", () => {
  test("is given the same day on every day", () => {
    expect(render("{{ strftime_now('%A, %d %B %Y (%a %b %m %y) %H:%M') }}")).toEqual({
      text: "Friday, 26 July 2024 (Fri Jul 07 24) 00:00",
    });
  });

  test("refuses a chat in its own words", () => {
    expect(render("{{ raise_exception('No system messages!') }}")).toEqual({ refusal: "No system messages!" });
    expect(render("{{ messages[0].content.nothing() }}")).toHaveProperty("refusal");
  });

  test("may be given the tools of a chat, and no generation prompt", () => {
    const template = readChatTemplate(
      { chat_template: "{{ tools is none }}{{ tools | length }}{{ add_generation_prompt }}" },
      "model",
    )!;
    expect(compileChatTemplate(template)([USER], [{ name: "a" }, { name: "b" }])).toEqual({ text: "false2false" });
  });

  const endless = `${"{% for a in range(9999) %}".repeat(4)}x${"{% endfor %}".repeat(4)}`;
  test.for<[string, string, string]>([
    ["that does not end", endless, "no result within"],
    ["that is not Jinja", "{% for x in %}", "cannot be read"],
    ["of 20,000 brackets", `{{ ${"(".repeat(20_000)}1${")".repeat(20_000)} }}`, "cannot be read"],
    [
      "that grows without bound",
      `{% set ns = namespace(x='xxxxxxxx') %}${"{% set ns.x = ns.x ~ ns.x %}".repeat(24)}{{ ns.x }}`,
      "more than",
    ],
  ])("%s is refused", ([, source, part]) => {
    const error = errorOf(() => render(source));
    expect(error.code).toBe("CHAT_TEMPLATE");
    expect(error.message).toContain("model: chat template");
    expect(error.message).toContain(part);
  });

  test("makes no list of millions", () => {
    expect(render("{{ range(1000000) | length }}")).toEqual({ refusal: "range() of 1000000 numbers" });
    expect(render("{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}")).toEqual({ text: "531" });
  });

  test("reaches nothing but what it is given", () => {
    for (const name of ["constructor", "__proto__", "constructor.constructor"]) {
      expect(render(`{{ messages.${name} }}{{ ''.${name} }}`)).not.toEqual({
        text: expect.stringContaining("unction") as string,
      });
    }
  });
});
