/**
 * @file Option values: the text of a flag → its value, and the JSON schema of the same value in the YAML file.
 */

import { COMMANDS } from "./commands.ts";
import type { OptionType } from "./option.ts";
import { OPTION_NAMES, OPTIONS } from "./options.ts";
import type { OptionName } from "./settings.ts";
import { suggestName } from "../suggest.ts";
import { usageError } from "./usage-error.ts";

/** A value of `Settings`. */
export type OptionValue = string | number | boolean | readonly string[] | readonly number[] | Readonly<Record<string, number>>;

const ANY_COUNT = { kind: "number", minimum: 0, maximum: Number.MAX_SAFE_INTEGER, integer: true } as const;

/** A JSON schema. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * Parses the values that a flag was given.
 * @param given one text for each time that the flag was passed.
 * @throws CusprunError `USAGE` for an invalid value, or a second value of an option that accepts only one.
 */
export function parseOptionText(name: OptionName, given: readonly string[]): OptionValue {
  const { type } = OPTIONS[name];
  if (type.kind === "texts") return given;
  if (type.kind === "choices") return splitList(given).map((word) => parseChoice(name, word, type.of));
  if (type.kind === "list") return splitList(given).map((word) => checkText(name, word));
  if (type.kind === "counts") return splitList(given).map((word) => parseNumber(name, word, ANY_COUNT));
  if (type.kind === "numbers") return Object.fromEntries(splitList(given).map((pair) => parsePair(name, pair, type.of)));
  const [text = "", second] = given;
  if (second !== undefined)
    throw usageError(`--${name}`, `two values ('${text}' and '${second}')`, "one value", `Pass --${name} once`);
  switch (type.kind) {
    case "text":
      return checkText(name, text);
    case "choice":
      return parseChoice(name, text, type.of);
    case "number":
      return parseNumber(name, text, type);
    case "switch":
      return true;
    default:
      throw type satisfies never;
  }
}

function checkText(name: OptionName, text: string): string {
  if (text !== "") return text;
  throw usageError(`--${name}`, "an empty value", "a non-empty value", `Write --${name} VALUE`);
}

function splitList(given: readonly string[]): string[] {
  return given.flatMap((text) => text.split(",")).map((word) => word.trim());
}

function parseChoice(name: OptionName, word: string, of: readonly string[]): string {
  if (of.includes(word)) return word;
  throw usageError(`--${name}`, `'${word}'`, of.join(", "), suggestName(word, of));
}

function parseNumber(
  name: OptionName,
  text: string,
  { minimum, maximum, integer }: Extract<OptionType, { kind: "number" }>,
): number {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  const value = percent !== null && !integer ? Number(percent[1]) / 100 : text.trim() === "" ? Number.NaN : Number(text);
  if (value >= minimum && value <= maximum && (!integer || Number.isInteger(value))) return value;
  const expected = `${integer ? "an integer" : "a number"} from ${minimum} to ${maximum}`;
  throw usageError(`--${name}`, `'${text}'`, expected, `Write --${name} ${integer ? minimum : "0.5"}, for example`);
}

function parsePair(name: OptionName, pair: string, of: readonly string[]): [string, number] {
  const [key = "", text = ""] = pair.split("=", 2);
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(value >= 0) || !Number.isFinite(value)) {
    throw usageError(
      `--${name}`,
      `'${pair}'`,
      "name=number pairs separated by commas",
      `Write --${name} ${of[0] ?? ""}=2, for example`,
    );
  }
  return [parseChoice(name, key, of), value];
}

/** The JSON schema of an option's value in the YAML file. A list with one entry may be written without brackets. */
function schemaOf(type: OptionType): JsonSchema {
  switch (type.kind) {
    case "text":
      return { type: "string", minLength: 1 };
    case "texts":
    case "list":
      return oneOrMore({ type: "string", minLength: 1 });
    case "choice":
      return { enum: type.of };
    case "choices":
      return oneOrMore({ enum: type.of });
    case "number":
      return { type: type.integer ? "integer" : "number", minimum: type.minimum, maximum: type.maximum };
    case "counts":
      return oneOrMore({ type: "integer", minimum: 0 });
    case "numbers":
      return {
        type: "object",
        additionalProperties: false,
        properties: Object.fromEntries(type.of.map((key) => [key, { type: "number", minimum: 0 }])),
      };
    case "switch":
      return { type: "boolean" };
    default:
      throw type satisfies never;
  }
}

function oneOrMore(item: JsonSchema): JsonSchema {
  return { anyOf: [item, { type: "array", items: item, minItems: 1 }] };
}

/**
 * The JSON schema of the YAML file that `--config` reads: the given options and `model`. Published as
 * `schema/cusprun.schema.json`.
 */
export function configSchema(names: readonly OptionName[]): JsonSchema {
  const options = OPTION_NAMES.filter((name) => names.includes(name) && name !== "config");
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "cusprun prune",
    description:
      "Configuration file for 'cusprun prune --config FILE.yaml'. Each key is the flag of the same name without dashes.",
    type: "object",
    additionalProperties: false,
    properties: {
      model: {
        type: "string",
        minLength: 1,
        description: COMMANDS.prune.subject?.help,
      },
      ...Object.fromEntries(options.map((name) => [name, { ...schemaOf(OPTIONS[name].type), description: OPTIONS[name].help }])),
    },
  };
}
