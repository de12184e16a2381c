/**
 * @file Mutates a JSON text by its structure: values are replaced, removed, repeated, moved and wrapped. Works on the
 * text, so that duplicate keys, numbers without a value in JavaScript and any nesting can be written.
 */

import type { Random } from "../random.ts";
import { KEYS, NUMBERS, oddJson, oddJsonNumber, STRINGS } from "../values.ts";

/** A value of a JSON text, `[start, end)`. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly kind: "object" | "list" | "string" | "number" | "word";
  /** Start of its key, quotes included; −1 if it has none. */
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly depth: number;
}

const scanned = new Map<string, readonly Span[]>();
const MAX_SCANNED = 500;

/** A piece of text `[start, end)` and what takes its place. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly by: string;
}

/** A text with a few values changed; a text that is no JSON is returned as it is. */
export function mutateJson(text: string, random: Random): string {
  const spans = spansOf(text);
  if (spans === null) return text;
  const edits = Array.from({ length: random.few() }, () => changeOne(text, spans, random));
  let mutated = text;
  let start = text.length;
  // From the end, so that earlier positions stay valid; of edits that overlap, one is made.
  for (const edit of edits.toSorted((a, b) => b.end - a.end)) {
    if (edit.end > start) continue;
    mutated = mutated.slice(0, edit.start) + edit.by + mutated.slice(edit.end);
    ({ start } = edit);
  }
  return mutated;
}

/** Every value of a text; null if it is not JSON. Texts to start from are scanned once. */
function spansOf(text: string): readonly Span[] | null {
  const known = scanned.get(text);
  if (known !== undefined) return known;
  try {
    const spans = scan(text);
    if (scanned.size < MAX_SCANNED) scanned.set(text, spans);
    return spans;
  } catch {
    return null;
  }
}

function changeOne(text: string, spans: readonly Span[], random: Random): Edit {
  const span = choose(spans, random);
  const { start, end, keyStart, keyEnd } = span;
  const replace = (by: string): Edit => ({ start, end, by });
  const whole = keyStart >= 0 ? keyStart : start;
  const kind = random.next();
  if (kind < 0.3) return replace(oddJson(random));
  if (kind < 0.5) return replace(nearValue(text, span, random));
  if (kind < 0.6) return removeEntry(text, whole, end);
  if (kind < 0.66) return { start: end, end, by: `,${text.slice(whole, end)}` };
  if (kind < 0.72 && keyStart >= 0) return { start: keyStart, end: keyEnd, by: JSON.stringify(random.pick(KEYS)) };
  if (kind < 0.82) {
    const other = random.pick(spans);
    return replace(text.slice(other.start, other.end));
  }
  if (kind < 0.88 && keyStart >= 0) {
    const other = random.pick(spans);
    if (other.keyStart >= 0) return { start: keyStart, end: keyEnd, by: text.slice(other.keyStart, other.keyEnd) };
  }
  if (kind < 0.94) return addEntry(text, random.pick(spans), random);
  return replace(random.pick([`[${text.slice(start, end)}]`, `{"a":${text.slice(start, end)}}`]));
}

/** Values near the top are fewer than those of a long list, and matter more. */
function choose(spans: readonly Span[], random: Random): Span {
  const first = random.pick(spans);
  if (random.chance(0.3)) return first;
  const second = random.pick(spans);
  return second.depth < first.depth ? second : first;
}

/** A value of the same type, so that later checks are reached. */
function nearValue(text: string, { start, end, kind }: Span, random: Random): string {
  const old = text.slice(start, end);
  switch (kind) {
    case "number": {
      const value = Number(old);
      return random.pick([
        String(value + 1),
        String(value - 1),
        String(-value),
        String(value * 2),
        String(value / 2),
        String(random.pick(NUMBERS)),
        `"${old}"`,
        oddJsonNumber(random),
      ]);
    }
    case "string":
      return random.pick([
        JSON.stringify(random.pick(STRINGS)),
        JSON.stringify(random.pick(KEYS)),
        `${old.slice(0, -1)}x"`,
        old.toUpperCase(),
        '""',
      ]);
    case "word":
      return random.pick(["true", "false", "null", "0", "1", '"true"']);
    case "list":
      return random.pick(["[]", `[${old}]`, `${old.slice(0, -1)}${old === "[]" ? "" : ","}0]`, "{}", "null"]);
    case "object":
      return random.pick(["{}", `[${old}]`, "[]", "null"]);
    default:
      throw kind satisfies never;
  }
}

/** Removes an entry together with a comma next to it. */
function removeEntry(text: string, start: number, end: number): Edit {
  const after = /^\s*,/.exec(text.slice(end, end + 200));
  if (after !== null) return { start, end: end + after[0].length, by: "" };
  const before = /,\s*$/.exec(text.slice(Math.max(0, start - 200), start));
  return { start: start - (before?.[0].length ?? 0), end, by: "" };
}

function addEntry(text: string, { start, end, kind }: Span, random: Random): Edit {
  if (kind !== "object" && kind !== "list") return { start, end, by: oddJson(random) };
  const isEmpty = text.slice(start + 1, end - 1).trim() === "";
  const entry = kind === "list" ? oddJson(random) : `${JSON.stringify(random.pick(KEYS))}:${oddJson(random)}`;
  return { start: start + 1, end: start + 1, by: `${entry}${isEmpty ? "" : ","}` };
}

/** A recursive-descent scan. */
function scan(text: string): Span[] {
  const spans: Span[] = [];
  let at = 0;
  const skipSpace = (): void => {
    while (" \t\r\n".includes(text[at] ?? "x")) at++;
  };
  const skipString = (): void => {
    if (text[at] !== '"') throw new SyntaxError(`no string at ${at}`);
    for (at++; text[at] !== '"'; at++) {
      if (at >= text.length) throw new SyntaxError("a string without an end");
      if (text[at] === "\\") at++;
    }
    at++;
  };
  const value = (keyStart: number, keyEnd: number, depth: number): void => {
    skipSpace();
    const start = at;
    const index = spans.length;
    spans.push({ start, end: start, kind: "word", keyStart, keyEnd, depth });
    let kind: Span["kind"] = "word";
    if (text[at] === "{" || text[at] === "[") {
      kind = text[at] === "{" ? "object" : "list";
      entries(kind, depth);
    } else if (text[at] === '"') {
      kind = "string";
      skipString();
    } else {
      const word = /^(?:-?\d[\d.eE+-]*|true|false|null)/.exec(text.slice(at, at + 400));
      if (word === null) throw new SyntaxError(`no value at ${at}`);
      if (/^[-\d]/.test(word[0])) kind = "number";
      at += word[0].length;
    }
    spans[index] = { start, end: at, kind, keyStart, keyEnd, depth };
    skipSpace();
  };
  const entries = (kind: "object" | "list", depth: number): void => {
    const close = kind === "object" ? "}" : "]";
    at++;
    skipSpace();
    while (text[at] !== close) {
      let keyStart = -1;
      let keyEnd = -1;
      if (kind === "object") {
        keyStart = at;
        skipString();
        keyEnd = at;
        skipSpace();
        if (text[at] !== ":") throw new SyntaxError(`no colon at ${at}`);
        at++;
      }
      value(keyStart, keyEnd, depth + 1);
      if (text[at] === ",") {
        at++;
        skipSpace();
      } else if (text[at] !== close) throw new SyntaxError(`no comma at ${at}`);
    }
    at++;
  };
  value(-1, -1, 0);
  if (at !== text.length) throw new SyntaxError(`more after the value, at ${at}`);
  return spans;
}
