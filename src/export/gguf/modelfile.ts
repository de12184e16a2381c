/**
 * @file Ollama's Modelfile for a GGUF file: where the weights are, the format of a chat, the end of an answer. A chat
 * template in Jinja is not translated but recognised by its marks. If it is not recognised, TEMPLATE is omitted and
 * Ollama inspects the GGUF file itself.
 * Source: https://github.com/ollama/ollama `docs/modelfile.md` and `template/`; read, not run.
 */

import type { TokenizerFiles } from "../../checkpoint/checkpoint.ts";
import { chatTemplateOf } from "../../corpora/chat-template.ts";
import { isJsonObject } from "../../json.ts";

/** A chat format that many models share. */
interface ChatFormat {
  readonly name: string;
  /** Texts that every Jinja template of this format has, and texts that none has. */
  readonly marks: readonly string[];
  readonly foreign: readonly string[];
  /** The same format as a Go template. */
  readonly template: string;
  /** The text that ends a turn. */
  readonly stop: string;
  /** Finds the default system message, which the Jinja template adds if there is no other. */
  readonly defaultSystem: RegExp | null;
}

const CHAT_FORMATS: readonly ChatFormat[] = [
  {
    name: "ChatML",
    marks: ["<|im_start|>", "<|im_end|>"],
    foreign: [],
    template: `{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
`,
    stop: "<|im_end|>",
    defaultSystem: /<\|im_start\|>system(?:\\n|\n)([^<>{}"']+?)<\|im_end\|>/,
  },
  {
    name: "Llama 3",
    marks: ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    foreign: [],
    template: `{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>

`,
    stop: "<|eot_id|>",
    defaultSystem: null,
  },
  {
    name: "Gemma",
    marks: ["<start_of_turn>", "<end_of_turn>"],
    foreign: [],
    template: `{{- range .Messages }}<start_of_turn>{{ if eq .Role "assistant" }}model{{ else }}user{{ end }}
{{ .Content }}<end_of_turn>
{{ end }}<start_of_turn>model
`,
    stop: "<end_of_turn>",
    defaultSystem: null,
  },
  {
    name: "Mistral",
    marks: ["[INST]", "[/INST]"],
    foreign: ["<<SYS>>"],
    template:
      '{{- range .Messages }}{{ if eq .Role "assistant" }} {{ .Content }}</s>{{ else if eq .Role "system" }}' +
      "[INST] {{ .Content }}\n\n{{ else }}[INST] {{ .Content }} [/INST]{{ end }}{{ end }}",
    stop: "</s>",
    defaultSystem: null,
  },
];

/**
 * The text of a Modelfile.
 * @param ggufName name of the GGUF file next to it.
 * @param eosTokenIds tokens that end a text.
 */
export function modelfile(ggufName: string, tokenizer: TokenizerFiles, eosTokenIds: readonly number[]): string {
  const jinja = chatTemplateOf(tokenizer.tokenizerConfig["chat_template"]);
  const format = jinja === null ? null : chatFormatOf(jinja);
  const stops = new Set([
    ...eosTokenIds.flatMap((id) => specialText(tokenizer, id) ?? []),
    ...(format === null ? [] : [format.stop]),
  ]);
  const system = format?.defaultSystem
    ?.exec(jinja ?? "")?.[1]
    ?.replaceAll("\\n", "\n")
    .trim();
  const lines = [
    `# ollama create NAME -f ${ggufName.replace(/\.gguf$/, "")}.Modelfile`,
    `FROM ./${ggufName}`,
    "",
    ...templateLines(jinja, format),
    ...(system === undefined || system === "" ? [] : ["", `SYSTEM """${system}"""`]),
    ...(stops.size === 0 ? [] : ["", ...[...stops].map((text) => `PARAMETER stop ${JSON.stringify(text)}`)]),
  ];
  return `${lines.join("\n")}\n`;
}

function templateLines(jinja: string | null, format: ChatFormat | null): string[] {
  if (format !== null) return [`# The model's chat template has the ${format.name} format.`, `TEMPLATE """${format.template}"""`];
  if (jinja === null) return ["# The model has no chat template: it continues texts.", 'TEMPLATE """{{ .Prompt }}"""'];
  return [
    "# The model's chat template has no known format. TEMPLATE is omitted, so that Ollama uses the template that it recognises",
    "# in the GGUF file; 'ollama show --template NAME' prints it.",
  ];
}

function chatFormatOf(jinja: string): ChatFormat | null {
  const has = (text: string): boolean => jinja.includes(text);
  return CHAT_FORMATS.find(({ marks, foreign }) => marks.every(has) && !foreign.some(has)) ?? null;
}

/** The text of an added token; null for other tokens: an answer cannot be stopped at an ordinary word. */
function specialText({ tokenizerJson }: TokenizerFiles, id: number): string | null {
  const added = tokenizerJson["added_tokens"];
  const token = (Array.isArray(added) ? added : []).filter(isJsonObject).find((candidate) => candidate["id"] === id);
  return typeof token?.["content"] === "string" ? token["content"] : null;
}
