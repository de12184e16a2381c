/**
 * @file Regular expressions of a tokenizer.json: those that mean the same in Oniguruma, which the Rust tokenizers use,
 * and in JavaScript as `@huggingface/tokenizers` translates them.
 */

/** General categories, and scripts, by the names that both engines have. */
const PROPERTY =
  /^(?:[LMNPSZ]|L[ultmo]|M[nce]|N[dlo]|P[cdseifo]|S[mcko]|Z[slp]|C[cf]|Han|Hiragana|Katakana|Hangul|Latin|Greek|Cyrillic|Arabic|Hebrew|Thai|Devanagari)$/;

/** Letters after a backslash whose translation is exact. */
const ESCAPES = "sSdDwWrntfvbBAzZ";

/** A group that ignores case, of ASCII letters alone. */
const CASELESS_GROUP = /^\(\?i:((?:[A-Za-z'|]|\[[A-Za-z]+\])*)\)/;

/** ASCII sequences that a ligature folds to, so that one character would match several letters. */
const FOLDED_SEQUENCES = /ss|st|ff|fi|fl/i;

/** Letters outside ASCII that fold to ASCII ones. */
const FOLDS: Readonly<Record<string, string>> = { s: "ſ", k: "\u212A" };

/**
 * The pattern in a form that the library translates exactly; null if there is none. Groups that ignore case also match
 * the two letters outside ASCII that are equal to ASCII ones except for case.
 */
export function exactRegex(source: string): string | null {
  let exact = "";
  for (let at = 0; at < source.length;) {
    const rest = source.slice(at);
    const atom = escapeAt(rest) ?? classAt(rest) ?? groupAt(rest) ?? plainAt(rest);
    if (atom === null) return null;
    exact += atom.text;
    at += atom.length;
  }
  return exact;
}

interface Atom {
  readonly length: number;
  readonly text: string;
}

function copy(text: string | undefined): Atom | null {
  return text === undefined ? null : { length: text.length, text };
}

function escapeAt(rest: string): Atom | null {
  const [property, name] = /^\\[pP]\{([A-Za-z]+)\}/.exec(rest) ?? [];
  if (property !== undefined) return PROPERTY.test(name ?? "") ? copy(property) : null;
  const [code] = /^\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})/.exec(rest) ?? [];
  if (code !== undefined) return copy(code);
  const [escape, character = ""] = /^\\([^])/.exec(rest) ?? [];
  return escape !== undefined && (!/[A-Za-z0-9]/.test(character) || ESCAPES.includes(character)) ? copy(escape) : null;
}

/** A character class without others in it. */
function classAt(rest: string): Atom | null {
  if (!rest.startsWith("[")) return null;
  let end = rest.startsWith("[^") ? 2 : 1;
  if (rest[end] === "]") return null;
  for (let step: Atom | null; rest[end] !== "]"; end += step.length) {
    const inner = rest.slice(end);
    if (inner === "" || inner.startsWith("[") || inner.startsWith("&&")) return null;
    step = inner.startsWith("\\") ? escapeAt(inner) : copy(inner[0]);
    if (step === null) return null;
  }
  return copy(rest.slice(0, end + 1));
}

function groupAt(rest: string): Atom | null {
  const [caseless, body = ""] = CASELESS_GROUP.exec(rest) ?? [];
  if (caseless !== undefined) {
    return FOLDED_SEQUENCES.test(body) ? null : { length: caseless.length, text: `(?i:${withFolds(body)})` };
  }
  return copy(/^\((?:\?(?::|=|!|<=|<!)|(?!\?))/.exec(rest)?.[0]);
}

function withFolds(body: string): string {
  return body.replaceAll(/\[[^\]]*\]|[sk]/gi, (part) => {
    const letters = part.startsWith("[") ? part.slice(1, -1) : part;
    const folds = [...letters.toLowerCase()].flatMap((letter) => FOLDS[letter] ?? []);
    return `[${letters}${folds.join("")}]`;
  });
}

/** A quantifier that is neither possessive nor the lazy form of an interval, or any other character. */
function plainAt(rest: string): Atom | null {
  if (/^[\\[]/.test(rest) || rest.startsWith("(?")) return null;
  const [quantifier] = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(rest) ?? [];
  if (quantifier === undefined) return copy(rest[0]);
  const after = rest[quantifier.length];
  const isInterval = quantifier.startsWith("{");
  if (after === "+" || after === "*" || (after === "?" && isInterval)) return null;
  return copy(after === "?" ? `${quantifier}?` : quantifier);
}
