/**
 * @file A row of a structured file → its text. Which fields hold it is decided by their names: `text`, the messages of
 * a chat, or a prompt and its completion; or the user names a field.
 */

import { CusprunError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { shellPath, shellWord } from "../shell.ts";
import type { ChatMessage } from "./chat-template.ts";
import { messagesOf } from "./messages.ts";
import { findPair, type Pair, pairMessages, pairText } from "./pairs.ts";
import { DEFAULT_TEXT_FIELD } from "./read-jsonl.ts";
import type { Row } from "./rows.ts";

/** Fields that hold a chat by default. */
const CHAT_FIELDS = ["messages", "conversations", "conversation"];

const KNOWN_FIELDS =
  "'text', 'messages', 'conversations', or a prompt and its completion ('prompt' + 'completion', 'instruction' + 'output', …)";

/** Keys that a message shows, and characters of each. */
const SHOWN_KEYS = 20;
const SHOWN_CHARACTERS = 40;

/** What a row holds. */
export type RowText =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "chat"; readonly messages: readonly ChatMessage[]; readonly tools: readonly unknown[] | null }
  /** A row that says that it has no text: null, or an empty chat. */
  | { readonly kind: "none" }
  | { readonly kind: "unusable"; readonly error: CusprunError };

/** How the rows of a file are read: decided by the first usable row, the same for all. */
export interface RowReader {
  /** The fields, for reports: `text`, `prompt + completion`. */
  readonly fields: string;
  read(row: Row): RowText;
}

/**
 * Chooses how the rows of a file are read.
 * @param row the file's first row, or the first from which it can be told.
 * @param field the user's choice: a key, or several separated by dots that lead into objects and lists.
 * @param path the file, for remedies.
 * @param hasTemplate whether the model has a chat template: pairs are turns of a chat then.
 * @returns null if the row has none of the known fields.
 */
export function chooseReader(row: Row, field: string | null, path: string, hasTemplate: boolean): RowReader | null {
  const { value } = row;
  if (typeof value === "string" && field === null)
    return { fields: "strings", read: ({ value: item }) => readString(item, path) };
  if (!isJsonObject(value)) return null;
  if (field !== null) {
    return valueAt(value, field) === undefined ? null : fieldReader(field, path);
  }
  if (DEFAULT_TEXT_FIELD in value) return fieldReader(DEFAULT_TEXT_FIELD, path);
  const chat = CHAT_FIELDS.find((name) => Array.isArray(value[name]));
  if (chat !== undefined) return fieldReader(chat, path);
  const pair = findPair(value);
  return pair === null ? null : pairReader(pair, path, hasTemplate);
}

/**
 * The keys that are read of rows like this one: for files that hold each column by itself.
 * @returns null if the row has none of the known fields.
 */
export function neededKeys(row: JsonObject, field: string | null): readonly string[] | null {
  if (field !== null) {
    const key = [field, field.split(".", 1)[0] ?? field].find((name) => Object.hasOwn(row, name));
    return key === undefined ? null : [key];
  }
  if (DEFAULT_TEXT_FIELD in row) return [DEFAULT_TEXT_FIELD];
  const chat = CHAT_FIELDS.find((name) => Array.isArray(row[name]));
  if (chat !== undefined) return [chat];
  const pair = findPair(row);
  return pair === null ? null : Object.values<string | null>({ ...pair }).filter((name) => name !== null);
}

/** The error for a row from which it cannot be told how it is read. */
export function unknownFields({ value, source }: Row, field: string | null, path: string): CusprunError {
  if (!isJsonObject(value)) {
    const expected = field === null ? "an object or a string" : `an object with the field '${field}'`;
    return fieldError(source, kindOf(value), expected, `Write objects such as {"text": "…"}`);
  }
  const keys = Object.keys(value);
  const names = keys.slice(0, SHOWN_KEYS).map((key) => `'${key.slice(0, SHOWN_CHARACTERS)}'`);
  const found = keys.length === 0 ? "no fields" : `the fields ${names.join(", ")}${keys.length > names.length ? ", …" : ""}`;
  const expected = field === null ? KNOWN_FIELDS : `the field '${field}'`;
  return fieldError(source, found, expected, remedyFor(value, path));
}

/** Names what the user may pass for this very row; fields with names too long to be shown are left out. */
function remedyFor(value: JsonObject, path: string): string {
  const lengthOf = (candidate: unknown): number => (typeof candidate === "string" ? candidate.length : -1);
  const nameable = Object.entries(value).filter(([name]) => name.length <= SHOWN_CHARACTERS);
  const [name, text] = nameable.toSorted(([, a], [, b]) => lengthOf(b) - lengthOf(a))[0] ?? [];
  if (typeof text === "string") return `Name the field that holds the text, e.g. ${path}#${name}`;
  const list = nameable.find(([, candidate]) => Array.isArray(candidate))?.[0];
  if (list !== undefined) {
    const filter = shellWord(`.${JSON.stringify(list)}[]`);
    return `If the documents are in '${list}': jq -c ${filter} ${shellPath(path)} > FILE.jsonl`;
  }
  return `Name the field that holds the text: ${path}#FIELD`;
}

function fieldReader(field: string, path: string): RowReader {
  return {
    fields: field,
    read({ value, source }) {
      const found = isJsonObject(value) ? valueAt(value, field) : undefined;
      if (found === null) return { kind: "none" };
      if (typeof found === "string") return { kind: "text", text: found };
      if (found === undefined) return { kind: "unusable", error: unknownFields({ value, source }, field, path) };
      if (Array.isArray(found) && found.length === 0) return { kind: "none" };
      const texts = textsOf(found);
      if (field.includes(".") && texts !== null) return { kind: "text", text: texts.join("\n\n") };
      const messages = messagesOf(found);
      if (messages !== null && typeof messages !== "string") {
        const tools = (value as JsonObject)["tools"];
        return { kind: "chat", messages, tools: Array.isArray(tools) && tools.length > 0 ? tools : null };
      }
      const reason = messages ?? `'${field}' of type ${kindOf(found)}`;
      const expected = messages === null ? `a string or the messages of a chat in '${field}'` : "messages with a role and a text";
      return { kind: "unusable", error: fieldError(source, reason, expected, remedyFor(value as JsonObject, path)) };
    },
  };
}

function pairReader(pair: Pair, path: string, hasTemplate: boolean): RowReader {
  const { prompt, input, completion, system } = pair;
  return {
    fields: [system, prompt, input, completion].filter((name) => name !== null).join(" + "),
    read({ value, source }) {
      if (!isJsonObject(value)) return { kind: "unusable", error: unknownFields({ value, source }, null, path) };
      if (value[prompt] === null || value[completion] === null) return { kind: "none" };
      const messages = pairMessages(pair, value);
      if (typeof messages === "string") {
        const remedy = `Correct the row, or read one field: ${path}#${completion}`;
        return { kind: "unusable", error: fieldError(source, messages, `strings in '${prompt}' and '${completion}'`, remedy) };
      }
      const text = hasTemplate ? null : pairText(pair, value);
      return text === null ? { kind: "chat", messages, tools: null } : { kind: "text", text };
    },
  };
}

function readString(value: unknown, path: string): RowText {
  if (typeof value === "string") return { kind: "text", text: value };
  if (value === null) return { kind: "none" };
  return { kind: "unusable", error: fieldError(path, kindOf(value), "a string, as the items before", "Correct the item") };
}

/**
 * The value of a field. A key with dots in its name comes first; otherwise dots lead into objects, and into all items
 * of a list.
 */
function valueAt(value: unknown, field: string): unknown {
  if (Array.isArray(value)) return value.map((item) => valueAt(item, field)).filter((item) => item !== undefined);
  if (!isJsonObject(value)) return undefined;
  if (Object.hasOwn(value, field)) return value[field];
  const dot = field.indexOf(".");
  if (dot === -1 || !Object.hasOwn(value, field.slice(0, dot))) return undefined;
  return valueAt(value[field.slice(0, dot)], field.slice(dot + 1));
}

/** The strings in nested lists, those of a message's text parts included; null if they hold anything else. */
function textsOf(value: unknown): readonly string[] | null {
  if (typeof value === "string") return [value];
  if (value === null) return [];
  if (isJsonObject(value)) return typeof value["text"] === "string" ? [value["text"]] : null;
  if (!Array.isArray(value)) return null;
  const texts = value.map(textsOf);
  return texts.includes(null) ? null : (texts as string[][]).flat();
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "list" : typeof value;
}

function fieldError(where: string, found: string, expected: string, remedy: string): CusprunError {
  return new CusprunError("CORPUS_FIELD", { where, found, expected, remedy });
}
