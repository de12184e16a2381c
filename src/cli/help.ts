/**
 * @file `--help`, rendered from the tables of commands and options.
 */

import { DIMENSIONS } from "../corpora/corpus.ts";
import { presetNames } from "../corpora/presets.ts";
import { displayWidth } from "../report/format.ts";
import { renderColumns } from "../report/table.ts";
import { COMMAND_NAMES, COMMANDS, type CommandName } from "./commands.ts";
import { OPTION_GROUPS } from "./option.ts";
import { OPTION_NAMES, OPTIONS } from "./options.ts";
import type { OptionName } from "./settings.ts";

/** Columns of an option's lines, flag included; longer help is wrapped. */
const HELP_COLUMNS = 110;

/** Help of the program: its commands. */
export function renderProgramHelp(version: string): string {
  const commands = COMMAND_NAMES.map((name) => [`  ${usageOf(name)}`, COMMANDS[name].summary]);
  return [
    `cusprun ${version}: prunes a large language model to a smaller expert, without training or a GPU`,
    "",
    "Usage: cusprun COMMAND [ARGUMENT] [OPTIONS]",
    "",
    "Commands:",
    ...renderColumns(commands, 2),
    "",
    "Example:",
    `  cusprun ${COMMANDS.prune.examples[0] ?? ""}`,
    "",
    "Run 'cusprun COMMAND --help' for the options and examples of a command.",
  ].join("\n");
}

/** Help of one command. */
export function renderCommandHelp(name: CommandName): string {
  const { summary, subject, options, required, notes = [], examples } = COMMANDS[name];
  const needed = required.map((option) => ` ${flag(option)}`).join("");
  const sections = OPTION_GROUPS.flatMap((group) => {
    const names = OPTION_NAMES.filter((option) => options.includes(option) && OPTIONS[option].group === group);
    return names.length === 0 ? [] : ["", `${group}:`, ...renderColumns(optionRows(names), 2)];
  });
  return [
    summary,
    "",
    `Usage: cusprun ${usageOf(name)}${needed} [OPTIONS]`,
    ...(subject === null ? [] : ["", ...renderColumns([[`  ${subject.hint}`, subject.help]], 2)]),
    ...sections,
    ...(notes.length === 0 ? [] : ["", ...notes]),
    "",
    "Examples:",
    ...examples.map((example) => `  cusprun ${example}`),
  ].join("\n");
}

/** A command with its positional argument. */
function usageOf(name: CommandName): string {
  const { subject } = COMMANDS[name];
  return subject === null ? name : `${name} ${subject.hint}`;
}

/** Rows of two columns: the flags, and next to each its help, its choices and its presets, wrapped. */
function optionRows(names: readonly OptionName[]): string[][] {
  const flags = names.map((name) => `  ${flag(name)}`);
  const columns = HELP_COLUMNS - 2 - Math.max(...flags.map(displayWidth));
  return names.flatMap((name, index) => {
    const lines = helpTexts(name).flatMap((text) => wrapText(text, columns));
    return lines.map((line, row) => [row === 0 ? (flags[index] ?? "") : "", line]);
  });
}

/** An option's help, its choices if the flag does not show them, and its presets. */
function helpTexts(name: OptionName): string[] {
  const { type, help, hint } = OPTIONS[name];
  const showsChoices = type.kind === "choices" || (type.kind === "choice" && hint !== undefined);
  const dimension = DIMENSIONS.find((candidate) => candidate === name);
  return [
    help,
    ...(showsChoices ? [`choices: ${type.of.join(", ")}`] : []),
    ...(dimension === undefined ? [] : [`presets: ${presetNames(dimension).join(", ")}`]),
  ];
}

/** Wraps a text at spaces. */
function wrapText(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (displayWidth(longer) > columns) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return [...lines, line];
}

/** A flag with the placeholder of its value, as `--help` shows it. */
export function flag(name: OptionName): string {
  const { type, hint } = OPTIONS[name];
  if (type.kind === "switch") return `--${name}`;
  return `--${name} ${hint ?? (type.kind === "choice" ? type.of.join("|") : "A,B,…")}`;
}
