/**
 * @file Pairs of a prompt and its completion, by the names that people give them → the turns of a chat, or one text for
 * models without a chat template.
 */

import { isJsonObject, type JsonObject } from "../json.ts";
import type { ChatMessage } from "./chat-template.ts";
import { messagesOf } from "./messages.ts";

/** Names of a prompt, each with the names of its completion, in the order in which they are looked for. */
const PAIRS: readonly { readonly prompt: string; readonly completions: readonly string[] }[] = [
  { prompt: "prompt", completions: ["completion", "response", "output", "answer"] },
  { prompt: "instruction", completions: ["output", "response", "completion", "answer"] },
  { prompt: "question", completions: ["answer", "response", "output"] },
  { prompt: "query", completions: ["response", "answer", "output"] },
  { prompt: "input", completions: ["output", "completion"] },
];

/** Names of a text that belongs to an instruction: Alpaca's, and Dolly's. */
const INPUTS = ["input", "context"];
/** Names of a system message. */
const SYSTEMS = ["system", "system_prompt"];

/** The names of the fields of a pair. */
export interface Pair {
  readonly prompt: string;
  readonly completion: string;
  readonly input: string | null;
  readonly system: string | null;
}

/** The pair that a row holds; null if there is none. */
export function findPair(row: JsonObject): Pair | null {
  for (const { prompt, completions } of PAIRS) {
    const completion = prompt in row ? completions.find((name) => name in row) : undefined;
    if (completion === undefined) continue;
    const input = prompt === "instruction" ? (INPUTS.find((name) => name in row) ?? null) : null;
    return { prompt, completion, input, system: SYSTEMS.find((name) => name in row) ?? null };
  }
  return null;
}

/**
 * A pair as the turns of a chat. Prompt and completion may be lists of messages themselves, as in TRL.
 * @returns a description of what is wrong if a field is neither a text nor a list of messages.
 */
export function pairMessages({ prompt, completion, input, system }: Pair, row: JsonObject): readonly ChatMessage[] | string {
  const turns: ChatMessage[] = [];
  const [before, extra] = [textOrEmpty(row, system), textOrEmpty(row, input)];
  if (before === null || extra === null) return kindOf(row, before === null ? system : input);
  if (before !== "") turns.push({ role: "system", content: before });
  for (const [name, role] of [
    [prompt, "user"],
    [completion, "assistant"],
  ] as const) {
    const value = row[name];
    if (typeof value === "string") {
      const content = role === "user" && extra !== "" ? `${value}\n${extra}` : value;
      turns.push({ role, content });
      continue;
    }
    const messages = messagesOf(value);
    if (messages === null) return kindOf(row, name);
    if (typeof messages === "string") return `${messages} of '${name}'`;
    turns.push(...messages);
  }
  return turns;
}

/**
 * A pair as one text, for a model that was not trained on chats; null if it holds messages. Instructions as in
 * Stanford's Alpaca, questions as in lm-evaluation-harness, others one after the other, as in TRL, on a new line if no
 * space is between them.
 */
export function pairText({ prompt, completion, input, system }: Pair, row: JsonObject): string | null {
  const [asked, answered] = [row[prompt], row[completion]];
  if (typeof asked !== "string" || typeof answered !== "string") return null;
  const before = textOrEmpty(row, system) ?? "";
  return `${before === "" ? "" : `${before}\n\n`}${joined(prompt, asked, textOrEmpty(row, input) ?? "", answered)}`;
}

function joined(prompt: string, asked: string, extra: string, answered: string): string {
  switch (prompt) {
    case "instruction": {
      const describes = "Below is an instruction that describes a task";
      const request = "Write a response that appropriately completes the request.";
      return extra === ""
        ? `${describes}. ${request}\n\n### Instruction:\n${asked}\n\n### Response:\n${answered}`
        : `${describes}, paired with an input that provides further context. ${request}\n\n` +
            `### Instruction:\n${asked}\n\n### Input:\n${extra}\n\n### Response:\n${answered}`;
    }
    case "question":
    case "query":
      return `Question: ${asked}\nAnswer: ${answered}`;
    default:
      return /\s$/.test(asked) || /^\s/.test(answered) ? `${asked}${answered}` : `${asked}\n${answered}`;
  }
}

/** The text of an optional field, empty if it is absent or null; null if it is something else. */
function textOrEmpty(row: JsonObject, name: string | null): string | null {
  const value = name === null ? "" : (row[name] ?? "");
  return typeof value === "string" ? value : null;
}

function kindOf(row: JsonObject, name: string | null): string {
  const value = name === null ? undefined : row[name];
  const kind =
    value === undefined ? "nothing" : Array.isArray(value) ? "a list" : isJsonObject(value) ? "an object" : typeof value;
  return `${kind} in '${name}'`;
}
