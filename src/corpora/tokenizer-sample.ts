/**
 * @file A sample of hard texts that every opened tokenizer is tried on: ids must be tokens, added tokens must be found
 * next to text, and a tokenizer that declares no loss must give the text back. It catches a damaged vocabulary and a
 * pattern that this version of JavaScript applies in another way.
 */

import { CusprunError } from "../errors.ts";
import { type JsonObject, showValue } from "../json.ts";
import { BYTE_CHARACTERS, byteToken } from "./byte-characters.ts";
import type { TokenIds } from "./tokenizer-ids.ts";
import { holdsTextBytes, partsOf } from "./tokenizer-model-check.ts";

/** Scripts with and without spaces, with marks, in both directions. */
const SCRIPTS = [
  "The naïve café's “déjà vu” — it's 3.14, isn't it?",
  "Ελληνικά ΑΣ ς. Кириллица Ёё. Հայերեն ქართული",
  "العربية مع ١٢٣ عبرית עברית abc \u202Bx\u202C",
  "नमस्ते क्षत्रिय বাংলা ગુજરાતી ਪੰਜਾਬੀ தமிழ் తెలుగు ಕನ್ನಡ മലയാളം සිංහල",
  "ไทยภาษา ລາວ ភាសាខ្មែរ မြန်မာ བོད་ཡིག አማርኛ ᠮᠣᠩᠭᠣᠯ",
  "日本語のテキスト、漢字とカタカナ。ｶﾞ 中文，字符。한국어 \u1112\u1161\u11ab",
];

/** Marks, emoji, and characters that are equal in other forms. */
const CHARACTERS = [
  "e\u0301 n\u0303 a\u0300\u0301\u0302 \u1E9B\u0323 \u0301x",
  "ﬁ ﬀ Å \u212B ß ẞ İ ı ǅ ſ K ½ ² ⅷ ٣ ４ ①",
  "👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️ 🤷‍♀️a",
  "\u{1D400}\u{20000}\u{10FFFF} \uE000\uFFFD\uFFFDa",
];

/** White space, controls, and characters that only some engines count among them. */
const SPACES = [
  " a  b   c    ",
  "\n\n a\r\nb\t\tc \n  d\u000B\fe",
  "\u00A0a\u2003b\u3000c\u2028d\u2029e\u1680f\u202Fg",
  "a\u0085b\uFEFFc\u200Bd\u200De\u2060f\u00ADg\u180Eh",
  "\u0000a\u0000\u0001\u0007\u001B[0m\u007F",
  " ".repeat(70),
  "\n".repeat(40),
  "\t".repeat(20),
];

/** Code, numbers, contractions, runs. */
const SHAPES = [
  "def f(x):\n    return {'a': [1, 2], \"b\": x**2}  # comment\n\n\n\tif x != 3: pass",
  "https://example.com/a?b=c&d=%20#e <p>x</p> $&$1 \\n",
  "1234567890 12,345,678.90 3e-10 0x1F",
  "I'LL we're YOU'VE it'S 'd 'ſ ’tis",
  "camelCase HTTPServer snake_case KEBAB-CASE !!!??...--- $+<=>^`|~",
  "ab".repeat(60),
  "你".repeat(40),
  "x",
];

const TEXTS: readonly string[] = [...SCRIPTS, ...CHARACTERS, ...SPACES, ...SHAPES];

/** This many of the first added tokens are tried, and of the last ones: they are of different kinds. */
const TRIED_ADDED = 4;

/** The operations of a tokenizer. */
interface Operations {
  /** Ids as the library returns them. */
  readonly encodeRaw: (text: string) => readonly unknown[];
  readonly decode: (ids: readonly number[]) => string;
}

/**
 * Tries a tokenizer.
 * @param json its tokenizer.json, of parts that are exact.
 * @param where the file or folder, for error messages.
 * @throws CusprunError `TOKENIZER_UNSUPPORTED`, with the text that is not given back.
 */
export function checkSample({ encodeRaw, decode }: Operations, json: JsonObject, ids: TokenIds, where: string): void {
  const known = new Set(ids.values());
  const encode = (text: string): readonly number[] => {
    const found = encodeRaw(text);
    const unknown = found.findIndex((id) => typeof id !== "number" || !known.has(id));
    if (unknown !== -1) throw wrong(where, text, `the id ${showValue(found[unknown])}`, "ids of tokens");
    return found as readonly number[];
  };
  const added = ((json["added_tokens"] ?? []) as readonly JsonObject[]).filter(({ content }) => content !== "");
  for (const { content, id } of triedTokens(added)) {
    const text = `a${String(content)}b`;
    if (!encode(text).includes(id as number)) throw wrong(where, text, "other tokens", `token ${String(id)} in it`);
  }
  const comparable = losslessForm(json, ids);
  for (const text of TEXTS) {
    const found = encode(text);
    // Some added tokens take the spaces next to them.
    if (comparable === null || added.some(({ content }) => text.includes(content as string))) continue;
    const [given, wanted] = [comparable(decode(found)), comparable(text)];
    if (given !== wanted) throw wrong(where, text, showValue(given), showValue(wanted));
  }
}

/** Some added tokens that are found in the raw text, whatever the others are. */
function triedTokens(added: readonly JsonObject[]): readonly JsonObject[] {
  const raw = added.filter(({ normalized, special }) => (normalized ?? special !== true) === false);
  const isApart = (token: JsonObject): boolean =>
    added.every(({ content }) => content === token["content"] || !overlaps(String(token["content"]), String(content)));
  return [...new Set([...raw.slice(0, TRIED_ADDED), ...raw.slice(-TRIED_ADDED)])].filter(isApart);
}

/** Whether another token may be found where this one begins, or before it and into it. */
function overlaps(token: string, other: string): boolean {
  if (other.includes(token) || other.includes("a")) return other.includes(token) || `a${token}`.includes(other);
  return Array.from({ length: Math.min(token.length, other.length) }).some((_, length) =>
    other.endsWith(token.slice(0, length + 1)),
  );
}

/** The form in which a text and its tokens' text must be equal; null if the tokenizer declares a loss. */
function losslessForm(json: JsonObject, ids: TokenIds): ((text: string) => string) | null {
  const model = json["model"] as JsonObject;
  const normalizers = partsOf(json["normalizer"], "normalizers");
  const preTokenizers = partsOf(json["pre_tokenizer"], "pretokenizers");
  const decoders = partsOf(json["decoder"], "decoders").map(({ type }) => type);
  const removes = preTokenizers.some(({ behavior }) => behavior === "Removed");
  if (model["type"] !== "BPE" || removes) return null;
  if (preTokenizers.some(({ type }) => type === "ByteLevel")) {
    const isNfc = normalizers.every(({ type }) => type === "NFC");
    if (!isNfc || !holdsTextBytes(ids) || decoders.length !== 1 || decoders[0] !== "ByteLevel") return null;
    return (text) => (normalizers.length > 0 ? text.normalize("NFC") : text);
  }
  const marksSpaces = normalizers.every(
    ({ type, content = "▁", prepend = "▁" }) => type !== "NFC" && content === "▁" && prepend === "▁",
  );
  const isWhole = BYTE_CHARACTERS.every((_, byte) => ids.has(byteToken(byte)));
  if (model["byte_fallback"] !== true || !isWhole || !marksSpaces || !decoders.includes("ByteFallback")) return null;
  // The mark of a space becomes one, and spaces before the text are added or removed.
  return (text) => text.replaceAll("▁", " ").replace(/^ +/, "");
}

function wrong(where: string, text: string, found: string, expected: string): CusprunError {
  return new CusprunError("TOKENIZER_UNSUPPORTED", {
    where: `${where}: tokenizer.json: the text ${showValue(text)}`,
    found,
    expected: `${expected} after it is tokenised`,
    remedy: "Download the model again, use a GGUF file of it, or choose another model",
  });
}
