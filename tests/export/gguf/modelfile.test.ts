/**
 * @file Modelfiles of the known chat formats. Go's text/template and Python's jinja2 were used to check that each Go
 * template writes the same text as the Jinja template of its format (docs/LOG.md).
 */

import { describe, expect, test } from "vitest";
import type { TokenizerFiles } from "../../../src/checkpoint/checkpoint.ts";
import { tokenizerFilesFromGguf } from "../../../src/checkpoint/gguf/tokenizer.ts";
import { modelfile } from "../../../src/export/gguf/modelfile.ts";
import { realMetadata } from "../../support/gguf-tokenizers.ts";

function tokenizer(chatTemplate: string | null, tokens: readonly string[] = []): TokenizerFiles {
  const added = tokens.map((content, id) => ({ id, content, special: true }));
  const tokenizerConfig = chatTemplate === null ? {} : { chat_template: chatTemplate };
  return { tokenizerJson: { added_tokens: added }, tokenizerConfig, files: new Map() };
}

describe("modelfile", () => {
  test.each([
    ["<|start_header_id|>{{ role }}<|end_header_id|> <|eot_id|>", "Llama 3", "<|eot_id|>"],
    ["<start_of_turn>{{ role }} <end_of_turn>", "Gemma", "<end_of_turn>"],
    ["[INST] {{ content }} [/INST]", "Mistral", "</s>"],
  ])("%s is %s", (jinja, form, stop) => {
    const text = modelfile("a.gguf", tokenizer(jinja, ["<bos>", "<eos>"]), [1]);
    expect(text).toContain(`has the ${form} format.\nTEMPLATE """{{- range .Messages }}`);
    expect(text).toContain(`PARAMETER stop "<eos>"\nPARAMETER stop ${JSON.stringify(stop)}\n`);
    expect(text).toMatch(/^# ollama create NAME -f a\.Modelfile\nFROM \.\/a\.gguf\n/);
  });

  test("Llama 2's format, which looks like Mistral's, is left to Ollama", () => {
    const text = modelfile("a.gguf", tokenizer("[INST] <<SYS>> {{ system }} <</SYS>> [/INST]"), []);
    expect(text).not.toMatch(/^TEMPLATE/m);
    expect(text).toContain("no known format");
  });

  test("a model without a chat template continues texts", () => {
    expect(modelfile("a.gguf", tokenizer(null), [])).toContain('TEMPLATE """{{ .Prompt }}"""\n');
  });

  test.each([
    ["smollm2", "You are a helpful AI assistant named SmolLM, trained by Hugging Face", ["<|im_end|>"]],
    ["qwen2", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", ["<|im_end|>"]],
  ] as const)("%s: its own system message and ends", async (name, system, stops) => {
    const metadata = await realMetadata(name);
    const eos = Number(metadata.get("tokenizer.ggml.eos_token_id"));
    const text = modelfile("a.gguf", tokenizerFilesFromGguf(metadata, name), [eos]);
    expect(text).toContain(`SYSTEM """${system}"""`);
    expect([...text.matchAll(/^PARAMETER stop "(.*)"$/gm)].map(([, stop]) => stop)).toEqual(stops);
  });
});
