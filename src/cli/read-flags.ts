/**
 * @file The command line → command, positional argument and settings. Errors for unknown commands, flags and values
 * name the nearest known one.
 */

import { parseArgs } from "node:util";
import { COMMAND_NAMES, COMMANDS, type CommandName } from "./commands.ts";
import { OPTION_NAMES, OPTIONS } from "./options.ts";
import type { OptionName, Settings } from "./settings.ts";
import { parseOptionText } from "./option-values.ts";
import { nearestName, suggestName } from "../suggest.ts";
import { usageError } from "./usage-error.ts";

/** A parsed command line. */
export type Request =
  | { readonly kind: "version" }
  /** Help for one command, or for the program (null). */
  | { readonly kind: "help"; readonly command: CommandName | null }
  | { readonly kind: "run"; readonly command: CommandName; readonly subject: string | null; readonly settings: Settings };

/**
 * Parses the arguments of `cusprun`.
 * @throws CusprunError `USAGE` for an unknown command, flag or value, or a missing or superfluous value.
 */
export function readFlags(argv: readonly string[]): Request {
  const [first, ...rest] = argv;
  if (first === undefined || first === "--help" || first === "-h") return { kind: "help", command: null };
  if (first === "--version" || first === "-v") return { kind: "version" };
  if (first === "help") return { kind: "help", command: rest[0] === undefined ? null : readCommand(rest[0]) };
  const command = readCommand(first);
  if (rest.includes("--help") || rest.includes("-h")) return { kind: "help", command };
  return { kind: "run", command, ...readArguments(command, rest) };
}

function readCommand(word: string): CommandName {
  if (Object.hasOwn(COMMANDS, word)) return word as CommandName;
  if (word.startsWith("-"))
    throw usageError("command line", `'${word}'`, "a command as the first argument", `Use one of: ${COMMAND_NAMES.join(", ")}`);
  throw usageError("command line", `the command '${word}'`, "a cusprun command", suggestName(word, COMMAND_NAMES));
}

function readArguments(command: CommandName, args: readonly string[]): { subject: string | null; settings: Settings } {
  // parseArgs is lenient here so that the error messages are cusprun's own; everything is checked below.
  const { tokens } = parseArgs({ args: [...args], options: flagTypes(), strict: false, allowPositionals: true, tokens: true });
  const subjects: string[] = [];
  const texts = new Map<OptionName, string[]>();
  const switches: [OptionName, boolean][] = [];
  for (const token of tokens) {
    if (token.kind === "positional") subjects.push(token.value);
    if (token.kind !== "option") continue;
    const { name, on } = readFlagName(command, token.rawName);
    if (OPTIONS[name].type.kind === "switch") {
      if (token.value !== undefined)
        throw usageError(`--${name}`, `the value '${token.value}'`, "no value", `Write --${name} or --no-${name}`);
      switches.push([name, on]);
    } else {
      if (token.value === undefined || (!token.inlineValue && /^--?[a-z]/.test(token.value))) {
        throw usageError(
          `--${name}`,
          "no value",
          OPTIONS[name].hint ?? "a value",
          `Write --${name} VALUE; see 'cusprun ${command} --help'`,
        );
      }
      texts.set(name, [...(texts.get(name) ?? []), token.value]);
    }
  }
  const allowed = COMMANDS[command].subject === null ? 0 : 1;
  if (subjects.length > allowed) {
    const hint = COMMANDS[command].subject?.hint;
    throw usageError(
      "command line",
      `${subjects.length} ${subjects.length === 1 ? "argument" : "arguments"} (${subjects.join(", ")})`,
      hint === undefined ? "none" : `one ${hint}`,
      "Remove the extra arguments, or add the missing flag in front of them",
    );
  }
  const values = [...texts].map(([name, given]) => [name, parseOptionText(name, given)] as const);
  return { subject: subjects[0] ?? null, settings: Object.fromEntries([...values, ...switches]) };
}

function flagTypes(): Record<string, { type: "string" | "boolean"; multiple: boolean }> {
  return Object.fromEntries(
    OPTION_NAMES.map((name) => [
      name,
      { type: OPTIONS[name].type.kind === "switch" ? "boolean" : "string", multiple: true } as const,
    ]),
  );
}

/** Resolves a flag, including `--no-` flags, to an option of the command. */
function readFlagName(command: CommandName, rawName: string): { name: OptionName; on: boolean } {
  const { options } = COMMANDS[command];
  const word = rawName.replace(/^--?/, "");
  const name = options.find((option) => option === word);
  if (name !== undefined && rawName.startsWith("--")) return { name, on: true };
  const negated = options.find((option) => `no-${option}` === word && OPTIONS[option].type.kind === "switch");
  if (negated !== undefined) return { name: negated, on: false };
  const elsewhere = COMMAND_NAMES.filter((other) => COMMANDS[other].options.some((option) => option === word));
  const nearest = nearestName(word, options);
  throw usageError(
    "command line",
    `the flag ${rawName}`,
    `a flag of 'cusprun ${command}'`,
    elsewhere.length > 0
      ? `This flag belongs to: ${elsewhere.join(", ")}`
      : nearest === null
        ? `See 'cusprun ${command} --help'`
        : `Perhaps you meant --${nearest}`,
  );
}
