/**
 * @file Regular expressions of a tokenizer.json: those that mean the same in Oniguruma, which the Rust tokenizers use,
 * and in JavaScript as `@huggingface/tokenizers` translates them.
 */

/** General categories, and scripts, by the names that both engines have. */
const PROPERTY: RegExp = (() => {
  const categories = "[LMNPSZ]|L[ultmo]|M[nce]|N[dlo]|P[cdseifo]|S[mcko]|Z[slp]|C[cf]";
  const scripts = "Han|Hiragana|Katakana|Hangul|Latin|Greek|Cyrillic|Arabic|Hebrew|Thai|Devanagari";
  return new RegExp(`^(?:${categories}|${scripts})$`);
})();

/** Letters after a backslash whose translation is exact. */
const ESCAPES = "sSdDwWrntfvbBAzZ";

/** A group that ignores case, of ASCII letters alone. */
const CASELESS_GROUP = /^\(\?i:((?:[A-Za-z'|]|\[[A-Za-z]+\])*)\)/;

/** ASCII sequences that a ligature folds to, so that one character would match several letters. */
const FOLDED_SEQUENCES = /ss|st|ff|fi|fl/i;

/** Longest class; the longest known, of DeepSeek's letters, has 140 characters. */
const MAX_ATOM_LENGTH = 1024;

/** Groups in groups. */
const MAX_DEPTH = 20;

/** Letters outside ASCII that fold to ASCII ones. */
const FOLDS: Readonly<Record<string, string>> = { s: "ſ", k: "\u212A" };

/** A part of a pattern in exact form. */
interface Piece {
  /** Where it ends in the source, exclusive. */
  readonly end: number;
  readonly text: string;
  /** Whether it may match no character. The engines repeat such a part, and split at it, differently. */
  readonly mayBeEmpty: boolean;
}

/**
 * The pattern in a form that the library translates exactly; null if there is none. Groups that ignore case also match
 * the two letters outside ASCII that are equal to ASCII ones except for case.
 */
export function exactRegex(source: string): string | null {
  const whole = alternativesAt(source, 0, 0);
  return whole === null || whole.end !== source.length || whole.mayBeEmpty ? null : whole.text;
}

/** Alternatives up to the end of the source, or to the bracket that closes their group. */
function alternativesAt(source: string, start: number, depth: number): Piece | null {
  let [at, text, mayBeEmpty, isEmptySoFar] = [start, "", false, true];
  while (at < source.length && source[at] !== ")") {
    if (source[at] === "|") {
      mayBeEmpty ||= isEmptySoFar;
      [at, text, isEmptySoFar] = [at + 1, `${text}|`, true];
      continue;
    }
    const piece = quantified(source, atomAt(source, at, depth));
    if (piece === null) return null;
    [at, text, isEmptySoFar] = [piece.end, text + piece.text, isEmptySoFar && piece.mayBeEmpty];
  }
  return { end: at, text, mayBeEmpty: mayBeEmpty || isEmptySoFar };
}

/** With its quantifier, which may be neither possessive nor the lazy form of an interval. */
function quantified(source: string, atom: Piece | null): Piece | null {
  const [quantifier] = atom === null ? [] : (/^(?:[*+?]\??|\{\d+(?:,\d*)?\})/.exec(source.slice(atom.end)) ?? []);
  if (atom === null || quantifier === undefined) return atom;
  const end = atom.end + quantifier.length;
  if (atom.mayBeEmpty || /^[*+?{]/.test(source.slice(end))) return null;
  return { end, text: atom.text + quantifier, mayBeEmpty: /^(?:[*?]|\{0)/.test(quantifier) };
}

function atomAt(source: string, at: number, depth: number): Piece | null {
  const rest = source.slice(at, at + MAX_ATOM_LENGTH);
  if (/^[*+?{]/.test(rest)) return null;
  const [character] = /^[^\\[(]/su.exec(rest) ?? [];
  if (character !== undefined) return piece(at, character, /^[$^]/.test(character));
  if (rest.startsWith("(")) return groupAt(source, at, depth);
  const atom = rest.startsWith("[") ? classIn(rest) : escapeIn(rest);
  return atom === null ? null : piece(at, atom, /^\\[bBAzZ]/.test(atom));
}

function piece(at: number, text: string, mayBeEmpty: boolean): Piece {
  return { end: at + text.length, text, mayBeEmpty };
}

/** The escape that a text starts with. */
function escapeIn(rest: string): string | null {
  const [property, name = ""] = /^\\[pP]\{([A-Za-z]+)\}/.exec(rest) ?? [];
  if (property !== undefined) return PROPERTY.test(name) ? property : null;
  const [code] = /^\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})/.exec(rest) ?? [];
  if (code !== undefined) return code;
  const [escape, character = ""] = /^\\(.)/su.exec(rest) ?? [];
  return escape !== undefined && (!/[A-Za-z0-9]/.test(character) || ESCAPES.includes(character)) ? escape : null;
}

/** The character class that a text starts with, if no other class is in it. */
function classIn(rest: string): string | null {
  let end = rest.startsWith("[^") ? 2 : 1;
  if (rest[end] === "]") return null;
  while (rest[end] !== "]") {
    const inner = rest.slice(end);
    if (inner === "" || inner.startsWith("[") || inner.startsWith("&&")) return null;
    const step = inner.startsWith("\\") ? escapeIn(inner) : inner[0]!;
    if (step === null) return null;
    end += step.length;
  }
  return rest.slice(0, end + 1);
}

function groupAt(source: string, at: number, depth: number): Piece | null {
  const rest = source.slice(at, at + MAX_ATOM_LENGTH);
  const [caseless, body = ""] = CASELESS_GROUP.exec(rest) ?? [];
  if (caseless !== undefined) {
    const isEmpty = body.split("|").includes("");
    const exact = { end: at + caseless.length, text: `(?i:${withFolds(body)})`, mayBeEmpty: isEmpty };
    return FOLDED_SEQUENCES.test(body) ? null : exact;
  }
  const [open] = /^\((?:\?(?::|=|!|<=|<!)|(?!\?))/.exec(rest) ?? [];
  const inner = open === undefined || depth === MAX_DEPTH ? null : alternativesAt(source, at + open.length, depth + 1);
  if (open === undefined || inner === null || source[inner.end] !== ")") return null;
  const isLookaround = open.length > 1 && open !== "(?:";
  return { end: inner.end + 1, text: `${open}${inner.text})`, mayBeEmpty: isLookaround || inner.mayBeEmpty };
}

function withFolds(body: string): string {
  return body.replaceAll(/\[[^\]]*\]|[sk]/gi, (part) => {
    const letters = part.startsWith("[") ? part.slice(1, -1) : part;
    const folds = Array.from(letters.toLowerCase()).flatMap((letter) => FOLDS[letter] ?? []);
    return `[${letters}${folds.join("")}]`;
  });
}
