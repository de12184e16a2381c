/**
 * @file The YAML file of `--config` → settings. It is validated against the schema that is published for editors; every
 * error names the line.
 */

import { readFile, stat } from "node:fs/promises";
import { Ajv, type ErrorObject } from "ajv";
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from "yaml";
import { showValue } from "../json.ts";
import { asReadError } from "../system-errors.ts";
import { withinTime } from "../time-limit.ts";
import { COMMANDS } from "./commands.ts";
import { configSchema } from "./option-values.ts";
import { OPTIONS } from "./options.ts";
import type { OptionName, Settings } from "./settings.ts";
import { suggestName } from "../suggest.ts";
import { usageError } from "./usage-error.ts";

/** Far more than any configuration needs; prevents a wrong path, e.g. of a model, from being read into memory. */
const MAX_CONFIG_BYTES = 64 * 1024;

/** The contents of a configuration file. */
export interface Config {
  /** The model to prune, or null if the file does not name one. */
  readonly model: string | null;
  readonly settings: Settings;
}

/**
 * Reads a configuration file.
 * @throws CusprunError `USAGE` for a file that cannot be read, is not YAML, or does not match the schema; names the
 * line.
 */
export async function readConfig(path: string): Promise<Config> {
  return parseConfig(await readSmallFile(path), path);
}

/**
 * Parses the text of a configuration file.
 * @param path for error messages.
 * @throws CusprunError `USAGE`; names the line.
 */
export function parseConfig(text: string, path: string): Config {
  const lines = new LineCounter();
  const document = parseYaml(text, lines, path);
  const [broken] = document.errors;
  if (broken !== undefined) {
    const { line } = lines.linePos(broken.pos[0]);
    throw usageError(`${path}, line ${line}`, firstLine(broken.message), "valid YAML", "Correct the line");
  }
  const value = resolveAliases(document, path);
  const { options } = COMMANDS.prune;
  const ajv = new Ajv({ allErrors: true, strict: true });
  if (!ajv.validate(configSchema(options), value)) throw schemaError(deepest(ajv.errors ?? []), value, document, lines, path);
  const { model, ...rest } = value;
  const settings = Object.fromEntries(
    Object.entries(rest).map(([name, given]) => [name, listWhereListed(name as OptionName, given)]),
  );
  return { model: typeof model === "string" ? model : null, settings };
}

function parseYaml(text: string, lineCounter: LineCounter, path: string): Document {
  try {
    return withinTime(() => parseDocument(text, { lineCounter, prettyErrors: false, schema: "core", stringKeys: true }));
  } catch (error) {
    throw usageError(path, firstLine((error as Error).message), "a YAML file of a few keys", "Check the path after --config");
  }
}

/** The document's plain value, which is then validated against the schema. */
function resolveAliases(document: Document, path: string): Record<string, unknown> {
  try {
    // The yaml package rejects nested aliases that would expand exponentially.
    return (document.toJS({ maxAliasCount: 100 }) ?? {}) as Record<string, unknown>;
  } catch (error) {
    throw usageError(path, firstLine((error as Error).message), "YAML without deeply nested aliases", "Write the values out");
  }
}

async function readSmallFile(path: string): Promise<string> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw usageError(path, "not a file", "a YAML file", "Check the path after --config");
    if (found.size <= MAX_CONFIG_BYTES) return await readFile(path, "utf8");
    const expected = `a YAML file of at most ${MAX_CONFIG_BYTES} bytes`;
    throw usageError(path, `${found.size} bytes`, expected, "Check the path after --config");
  } catch (error) {
    throw asReadError(error, "USAGE", path, "a YAML file");
  }
}

/** `domain: medical` means `domain: [medical]`. */
function listWhereListed(name: OptionName, value: unknown): unknown {
  const { kind } = OPTIONS[name].type;
  return (kind === "texts" || kind === "choices") && !Array.isArray(value) ? [value] : value;
}

/** If a value fails all alternatives of a schema, the error at the deepest path is the most specific. */
function deepest(errors: readonly ErrorObject[]): ErrorObject {
  const depth = ({ instancePath, keyword }: ErrorObject): number =>
    instancePath.split("/").length * 2 - (keyword === "anyOf" ? 1 : 0);
  return errors.reduce((best, error) => (depth(error) > depth(best) ? error : best));
}

function schemaError(error: ErrorObject, value: unknown, document: Document, lines: LineCounter, path: string): Error {
  const keys = error.instancePath.split("/").slice(1);
  const { params } = error as { params: Record<string, unknown> };
  if (error.keyword === "additionalProperties") {
    const key = String(params["additionalProperty"]);
    const known =
      keys[0] === "weights"
        ? ["language", "domain", "task"]
        : ["model", ...COMMANDS.prune.options.filter((name) => name !== "config")];
    return usageError(place(path, document, lines, [...keys, key]), `the key '${key}'`, "a known key", suggestName(key, known));
  }
  const found = showValue(keys.reduce<unknown>((inside, key) => (inside as Record<string, unknown>)[key], value));
  const where = `${place(path, document, lines, keys)}: ${keys.join(".") || "file"}`;
  if (error.keyword === "enum") {
    const allowed = (params["allowedValues"] as string[]).map(String);
    return usageError(where, found, allowed.join(", "), suggestName(found.replaceAll('"', ""), allowed));
  }
  return usageError(where, found, String(error.message).replace(/^must be /, ""), "Correct the value");
}

/** `file, line N` of the key at a path of keys, or of the value if it has no key (in a list). */
function place(path: string, document: Document, lines: LineCounter, keys: readonly string[]): string {
  const parent = keys.length > 1 ? document.getIn(keys.slice(0, -1), true) : document.contents;
  const pair = isMap(parent) ? parent.items.find(({ key }) => isScalar(key) && key.value === keys.at(-1)) : undefined;
  const node = pair?.key ?? document.getIn(keys, true) ?? document.contents;
  const offset = isNode(node) ? node.range?.[0] : undefined;
  return offset === undefined ? path : `${path}, line ${lines.linePos(offset).line}`;
}

function firstLine(text: string): string {
  return (text.split("\n")[0] ?? text).replace(/\.$/, "");
}
