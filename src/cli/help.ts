/**
 * @file `--help`, rendered from the tables of commands and options.
 */

import { DIMENSIONS } from "../corpora/corpus.ts";
import { presetNames } from "../corpora/presets.ts";
import { renderColumns } from "../report/table.ts";
import { COMMAND_NAMES, COMMANDS, type CommandName } from "./commands.ts";
import { OPTIONS, type OptionName } from "./options.ts";

/** Characters of a line of choices, about: with the column before it a line of a wide terminal. */
const MAX_CHOICE_LINE = 80;

/** Help of the program: its commands. */
export function renderProgramHelp(version: string): string {
  const commands = COMMAND_NAMES.map((name) => [`  ${name} ${COMMANDS[name].subject.hint}`, COMMANDS[name].summary]);
  return [
    `cusprun ${version}: makes a smaller expert of a large language model; no training, no GPU`,
    "",
    "Usage: cusprun COMMAND …",
    "",
    ...renderColumns(commands, 2),
    "",
    "Example:",
    `  cusprun ${COMMANDS.prune.examples[0] ?? ""}`,
    "",
    "'cusprun COMMAND --help' tells more.",
  ].join("\n");
}

/** Help of one command. */
export function renderCommandHelp(name: CommandName): string {
  const { summary, subject, options, required, notes = [], examples } = COMMANDS[name];
  const needed = required.map((option) => ` ${flag(option)}`).join("");
  const groups = [...new Set(options.map((option) => OPTIONS[option].group))];
  const sections = groups.flatMap((group) => [
    "",
    `${group}:`,
    ...renderColumns(
      options.filter((option) => OPTIONS[option].group === group).flatMap((option) => optionRows(option)),
      2,
    ),
  ]);
  return [
    summary,
    "",
    `Usage: cusprun ${name} ${subject.hint}${needed} …`,
    "",
    ...renderColumns([[`  ${subject.hint}`, subject.help]], 2),
    ...sections,
    ...(notes.length === 0 ? [] : ["", ...notes]),
    "",
    "Examples:",
    ...examples.map((example) => `  cusprun ${example}`),
  ].join("\n");
}

/** The flag with its hint, its sentence, and its choices or presets on a line of their own. */
function optionRows(name: OptionName): string[][] {
  const { type, help } = OPTIONS[name];
  const rows = [[`  ${flag(name)}`, help]];
  if (type.kind === "choices" || (type.kind === "choice" && OPTIONS[name].hint !== undefined))
    rows.push(...choiceLines(type.of).map((line) => ["", line]));
  const dimension = DIMENSIONS.find((candidate) => candidate === name);
  if (dimension !== undefined) rows.push(["", `presets: ${presetNames(dimension).join(", ")}`]);
  return rows;
}

/** Choices in lines that stay readable. */
function choiceLines(choices: readonly string[]): string[] {
  return choices.reduce<string[]>((lines, choice) => {
    const last = lines.at(-1);
    if (last === undefined) return [choice];
    if (last.length + choice.length < MAX_CHOICE_LINE) return [...lines.slice(0, -1), `${last}, ${choice}`];
    return [...lines.slice(0, -1), `${last},`, choice];
  }, []);
}

function flag(name: OptionName): string {
  const { type, hint } = OPTIONS[name];
  if (type.kind === "switch") return `--${name}`;
  return `--${name} ${hint ?? (type.kind === "choice" ? type.of.join("|") : "A,B,…")}`;
}
