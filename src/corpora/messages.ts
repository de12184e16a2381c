/**
 * @file The messages of a chat, as people store them: OpenAI's `role` and `content`, ShareGPT's `from` and `value`.
 */

import { isJsonObject } from "../json.ts";
import type { ChatMessage } from "./chat-template.ts";

/** ShareGPT's names of the roles. Source: FastChat and axolotl, which read such files. */
const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  model: "assistant",
  assistant: "assistant",
  system: "system",
  tool: "tool",
  observation: "tool",
  function_response: "tool",
};

/** Between the text parts of a message, as vLLM and llama.cpp join them. */
const PART_SEPARATOR = "\n";

/**
 * Messages in the form of chat templates, with their other keys.
 * @returns null if the value is no list of messages; a description of what is wrong if it is one with a fault.
 */
export function messagesOf(value: unknown): readonly ChatMessage[] | string | null {
  if (!Array.isArray(value) || !value.some((entry) => isJsonObject(entry) && ("role" in entry || "from" in entry))) return null;
  const messages: ChatMessage[] = [];
  for (const [index, entry] of value.entries()) {
    const message = messageOf(entry);
    if (typeof message === "string") return `${message} in message ${index}`;
    messages.push(message);
  }
  return messages;
}

function messageOf(entry: unknown): ChatMessage | string {
  if (!isJsonObject(entry)) return "no role";
  const { from, value, ...rest } = entry;
  const isShareGpt = from !== undefined;
  const name = isShareGpt ? from : rest["role"];
  if (typeof name !== "string") return "no role";
  // Roles of the first form belong to the template, which may know any.
  const role = isShareGpt ? ROLES[name.toLowerCase()] : name;
  if (role === undefined) return `the unknown role '${name.slice(0, 40)}'`;
  const content = contentOf(isShareGpt ? value : rest["content"]);
  if (content !== null) return { ...rest, role, content };
  // Calls of tools have no content.
  if (rest["tool_calls"] !== undefined && (rest["content"] ?? null) === null) return { ...rest, role, content: "" };
  return "no text";
}

/** The text of a message: a string, or parts of which each is a text. Null for anything else, such as an image. */
function contentOf(content: unknown): string | null {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return null;
  const texts = content.map((part: unknown) => {
    if (typeof part === "string") return part;
    return isJsonObject(part) && typeof part["text"] === "string" ? part["text"] : null;
  });
  return texts.includes(null) ? null : texts.join(PART_SEPARATOR);
}
