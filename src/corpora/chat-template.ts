/**
 * @file A model's chat template: a chat → the text that the model sees, with its special tokens. Templates are programs
 * in Jinja and come with the model, so their time and their output are bounded.
 * Source: transformers 5, `utils/chat_template_utils.py`.
 */

import { Environment as UntypedEnvironment, Interpreter as UntypedInterpreter, Template } from "@huggingface/jinja";
import { CusprunError } from "../errors.ts";
import { isJsonObject, type JsonObject, showValue } from "../json.ts";
import { TimeLimitError, withinTime } from "../time-limit.ts";

/**
 * The members used of the library's interpreter. Its own declarations do not resolve under `nodenext`: they import
 * without extensions.
 */
interface Environment {
  set(name: string, value: unknown): void;
}
const Environment = UntypedEnvironment as unknown as new () => Environment;
const Interpreter = UntypedInterpreter as unknown as new (environment: Environment) => {
  run(program: Program): { readonly value: unknown };
};

/** A parsed template; its own type does not resolve either. */
type Program = object;

/** Time for one chat; real ones take less than a millisecond. */
const MAX_RENDER_MS = 1000;

/** Longest rendered chat, in UTF-16 units. */
const MAX_RENDERED_CHARACTERS = 2 ** 26;

/** Longest list that `range` makes; templates count the messages of a chat with it. */
const MAX_RANGE = 100_000;

/**
 * The day of `strftime_now`, the default of Llama 3's own template: a text that changes every day would have every run
 * score its corpora again.
 */
const TODAY = { year: 2024, month: 6, day: 26 };

/** The tokens that a template may name, keys of `tokenizer_config.json`. */
const TOKEN_NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/** A message of a chat; templates may use other keys as well. */
export interface ChatMessage extends JsonObject {
  readonly role: string;
}

/** A model's chat template. */
export interface ChatTemplate {
  readonly source: string;
  /** The texts of special tokens by their names, such as `bos_token`. */
  readonly tokens: Readonly<Record<string, string>>;
  /** The model's path, for messages. */
  readonly where: string;
}

/** The text of a chat, or the reason for which the template refuses it. */
export type RenderedChat = { readonly text: string } | { readonly refusal: string };

/** Renders a chat. @throws CusprunError `CHAT_TEMPLATE` if the template exceeds a bound. */
export type RenderChat = (messages: readonly ChatMessage[], tools: readonly unknown[] | null) => RenderedChat;

/**
 * The chat template in a `tokenizer_config.json`; null if there is none.
 * @param where the model's path.
 */
export function readChatTemplate(tokenizerConfig: JsonObject, where: string): ChatTemplate | null {
  const source = chatTemplateOf(tokenizerConfig["chat_template"]);
  if (source === null) return null;
  const tokens: Record<string, string> = {};
  for (const name of TOKEN_NAMES) {
    const value = tokenizerConfig[name];
    const text = isJsonObject(value) ? value["content"] : value;
    if (typeof text === "string") tokens[name] = text;
  }
  return { source, tokens, where };
}

/** The template in the value of `chat_template`: the value itself, or the entry `default` of a list of named ones. */
export function chatTemplateOf(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return null;
  const named = value.filter(isJsonObject).find((entry) => entry["name"] === "default");
  return typeof named?.["template"] === "string" ? named["template"] : null;
}

/**
 * Prepares a template.
 * @throws CusprunError `CHAT_TEMPLATE` if it is not valid Jinja.
 */
export function compileChatTemplate({ source, tokens, where }: ChatTemplate): RenderChat {
  let program: Program;
  try {
    program = withinTime(() => new Template(source), MAX_RENDER_MS).parsed as Program;
  } catch (error) {
    throw templateError(where, `a template that cannot be read (${showError(error)})`, "valid Jinja", error);
  }
  const variables = { ...GLOBALS, ...tokens, add_generation_prompt: false, documents: null };
  return (messages, tools) => {
    let text: unknown;
    try {
      text = withinTime(() => {
        const environment = new Environment();
        for (const [name, value] of Object.entries({ ...variables, messages, tools })) {
          environment.set(name, value);
        }
        return new Interpreter(environment).run(program).value;
      }, MAX_RENDER_MS);
    } catch (error) {
      if (!(error instanceof TimeLimitError)) return { refusal: showError(error) };
      throw templateError(where, "no result within a second", "a text of the chat's own length", error);
    }
    if (typeof text === "string" && text.length <= MAX_RENDERED_CHARACTERS) return { text };
    throw templateError(where, `more than ${MAX_RENDERED_CHARACTERS} characters`, "a text of the chat's own length");
  };
}

/** What transformers offers to every template; `range` and `strftime_now` are bounded and repeatable. */
const GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (message: unknown): never => {
    throw new Error(String(message));
  },
  range: boundedRange,
  strftime_now: formatToday,
};

function boundedRange(first: number, second?: number, step: number = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length <= MAX_RANGE) return Array.from({ length }, (_, index) => start + index * step);
  throw new Error(`range() of ${length} numbers`);
}

/** Formats `TODAY` as Python's `strftime` does in the C locale, at midnight. */
function formatToday(format: string): string {
  const date = new Date(TODAY.year, TODAY.month, TODAY.day);
  const inEnglish = (options: Intl.DateTimeFormatOptions): string => new Intl.DateTimeFormat("en-US", options).format(date);
  const parts: Readonly<Record<string, string>> = {
    a: inEnglish({ weekday: "short" }),
    A: inEnglish({ weekday: "long" }),
    b: inEnglish({ month: "short" }),
    B: inEnglish({ month: "long" }),
    d: String(TODAY.day).padStart(2, "0"),
    m: String(TODAY.month + 1).padStart(2, "0"),
    Y: String(TODAY.year),
    y: String(TODAY.year % 100).padStart(2, "0"),
    H: "00",
    I: "12",
    M: "00",
    S: "00",
    p: "AM",
    "%": "%",
  };
  return format.replaceAll(/%([a-zA-Z%])/g, (whole, letter: string) => parts[letter] ?? whole);
}

function showError(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return showValue(message).slice(1, -1);
}

function templateError(where: string, found: string, expected: string, cause?: unknown): CusprunError {
  return new CusprunError(
    "CHAT_TEMPLATE",
    {
      where: `${where}: chat template`,
      found,
      expected,
      remedy: "Correct the template, or name the field of the corpus that holds plain text: FILE#FIELD",
    },
    { cause },
  );
}
