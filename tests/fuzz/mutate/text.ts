/**
 * @file Mutates text by its lines and marks: JSON Lines by their JSON, tables by their separators and quotes, YAML by
 * its indents; and bytes that are not UTF-8.
 */

import type { Random } from "../random.ts";
import { oddJson, STRINGS } from "../values.ts";
import { mutateBytes, replaced } from "./bytes.ts";
import { mutateJson } from "./json.ts";

/** What separates, quotes or begins something in one of the formats. */
const TEXT_MARKS: readonly string[] = [
  ["\n", "\r", "\r\n", "\n\n", "\t", ": ", "- ", "  ", "&a ", "*a ", "!!binary ", "!!js/function ", "? ", "---\n", "...\n"],
  ["%YAML 1.2\n", "<<: ", "\u0000", "\ufeff", "\u2028", "\u001b[31m"],
  String.raw`, ; " "" ' \ # { } [ ] | > null`.split(" "),
].flat();

/** Bytes that no UTF-8 text has. */
const BYTE_MARKS: readonly string[] = "ff c3 eda080 f4908080 c080 fffe feff 80".split(" ");

function mark(random: Random): Buffer {
  return random.chance(0.8) ? Buffer.from(random.pick(TEXT_MARKS)) : Buffer.from(random.pick(BYTE_MARKS), "hex");
}

/** Lines that are JSON: one of them is changed by its structure, or the text as a text. */
export function mutateJsonLines(contents: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  if (random.chance(0.35)) return mutateText(contents, random, others);
  const lines = contents.toString("utf8").split("\n");
  for (let count = random.few(); count > 0; count--) {
    const at = random.below(lines.length);
    lines[at] = lines[at] === "" ? oddJson(random) : mutateJson(lines[at]!, random);
  }
  return Buffer.from(lines.join("\n"));
}

/** Any text. */
export function mutateText(contents: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  let mutated = contents;
  for (let count = random.few(); count > 0; count--) mutated = changeOne(mutated, random, others);
  return mutated;
}

function changeOne(contents: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  const at = random.below(contents.length + 1);
  const kind = random.next();
  if (kind < 0.35) {
    return replaced(contents, at, random.chance(0.5) ? at : Math.min(at + 1, contents.length), mark(random));
  }
  if (kind < 0.45) return replaced(contents, at, at, Buffer.from(random.pick(STRINGS)));
  if (kind < 0.55) return mutateBytes(contents, random, others);
  if (kind < 0.62) {
    const repeated = mark(random);
    return replaced(contents, at, at, Buffer.concat(Array.from({ length: random.pick([10, 1000, 20_000]) }, () => repeated)));
  }
  if (kind < 0.7) return replaced(contents, at, at, Buffer.from(oddJson(random)));
  return changeLines(contents, random);
}

function changeLines(contents: Buffer, random: Random): Buffer {
  // As Latin-1, so that bytes that are not UTF-8 stay.
  const lines = contents.toString("latin1").split("\n");
  const at = random.below(lines.length);
  switch (random.below(5)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1:
      lines.splice(at, 0, random.pick(lines));
      break;
    case 2:
      lines[at] = random.pick(lines).slice(0, random.below(40));
      break;
    case 3:
      lines[at] = `${" ".repeat(random.below(6))}${lines[at]}`;
      break;
    default:
      lines.splice(at, 0, ...Array.from({ length: random.pick([2, 100, 1000]) }, () => lines[at]!));
  }
  return Buffer.from(lines.join("\n"), "latin1");
}
