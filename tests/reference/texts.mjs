/**
 * @file The texts on which tokenizers are compared, and the digest of their ids. Plain JavaScript, since it is used
 * both by the script that makes the goldens and by the tests.
 */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Folders of the shared data with JSONL files. */
const DATA_FOLDERS = ["calibration", "eval/dev"];

/** Fields with text; `choices` is an array of texts. */
const TEXT_FIELDS = ["text", "context", "prompt", "choices"];

/** The presets of the repository. */
const PRESETS = join(import.meta.dirname, "../../presets");

/**
 * The JSONL files of the presets, and of the shared data if its folder exists, in a fixed order.
 * @param {string} data
 * @returns {{ name: string, path: string }[]} names start with `presets/`, `calibration/` or `eval/dev/`.
 */
export function listTextFiles(data) {
  const presets = readdirSync(PRESETS, { recursive: true }).map((file) => ({
    name: `presets/${String(file).replaceAll("\\", "/")}`,
    path: join(PRESETS, String(file)),
  }));
  const shared = DATA_FOLDERS.flatMap((folder) => {
    const path = join(data, folder);
    return existsSync(path) ? readdirSync(path).map((file) => ({ name: `${folder}/${file}`, path: join(path, file) })) : [];
  });
  return [...presets, ...shared].filter(({ name }) => name.endsWith(".jsonl")).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The texts of a JSONL file, in order.
 * @param {string} path
 * @returns {string[]}
 */
export function readTexts(path) {
  const lines = readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  return lines.flatMap((line) => {
    const record = JSON.parse(line);
    return TEXT_FIELDS.flatMap((field) => record[field] ?? []).filter((text) => text !== "");
  });
}

/**
 * Tokenises texts one by one.
 * @param {readonly string[]} texts
 * @param {(text: string) => ArrayLike<number>} encode
 * @returns {{ documents: number, tokens: number, sha256: string }} the digest is over the int32 little-endian count and
 * ids of every text.
 */
export function digestTokens(texts, encode) {
  const hash = createHash("sha256");
  let tokens = 0;
  for (const text of texts) {
    const ids = encode(text);
    tokens += ids.length;
    hash.update(Int32Array.from([ids.length, ...ids]));
  }
  return { documents: texts.length, tokens, sha256: hash.digest("hex") };
}

/**
 * A short digest of one text's ids, for goldens that are only compared for equality.
 * @param {ArrayLike<number>} ids
 * @returns {string} 8 hexadecimal digits.
 */
export function shortDigest(ids) {
  return createHash("sha256").update(Int32Array.from(ids)).digest("hex").slice(0, 8);
}

/**
 * Strings that are difficult for tokenizers: runs, spaces, digits, scripts, emoji, joiners, controls, unpaired
 * surrogates, special tokens in text.
 * @returns {string[]}
 */
export function trickyStrings() {
  const runs = [
    "\n",
    " ",
    "\t",
    "\r\n",
    "a",
    "A",
    "-",
    "=",
    ".",
    "#",
    "*",
    "1",
    "é",
    "的",
    "😀",
    "\u00a0",
    "\u3000",
    "▁",
    "<",
    "ha",
    "!?",
  ];
  const lengths = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100];
  const spaces = [
    ..."\u0085\u00a0\u1680\u2000\u2009\u2028\u2029\u202f\u205f\u3000\u200b\u200c\u200d\u2060\ufeff\u180e\u000b\u000c\u001c",
  ];
  const words = [
    "word",
    "Straße",
    "naïve",
    "Москва",
    "北京",
    "東京タワー",
    "한국어",
    "العربية",
    "עברית",
    "हिन्दी",
    "ไทย",
    "ქართული",
    "Ⅷ",
    "½",
    "①",
  ];
  const specials = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|fim_prefix|>",
    "<tool_call>",
    "<repo_name>",
    "<bos>",
    "<eos>",
    "<pad>",
    "<unk>",
    "<mask>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<unused7>",
    "[multimodal]",
    "<0x0A>",
    "<0xE2>",
    "[PAD151931]",
    "<s>",
    "</s>",
    "<h1>",
    "<table>",
    "[INST]",
  ];
  return [
    ...runs.flatMap((run) => lengths.map((length) => run.repeat(length))),
    ...runs.map((run) => `x${run.repeat(3)}y${run}`),
    ...spaces.flatMap((space) => [space, `a${space}b`, `${space}${space} a`, ` ${space}1`]),
    ...words.flatMap((word) => [
      word,
      ` ${word}`,
      `${word} ${word}`,
      `"${word}"`,
      `${word}1 ${word}!`,
      word.toUpperCase(),
      word.normalize("NFD"),
    ]),
    ...specials.flatMap((token) => [
      token,
      `a${token}b`,
      ` ${token} `,
      `${token}${token}`,
      token.slice(0, -1),
      `${token}\n\n${token}`,
    ]),
    "",
    "I'm you'RE we'Ve 'S 's x'll'd ſ's 'ſ",
    "can't CAN'T ’s ’T",
    "0 12 123 1234 12345678901 3.14 1,000,000 ٣٤ 一二三 ²³ 1²",
    "a1b22c333d",
    "camelCaseHTTPServer XMLHttpRequest ÉTÉÉté ЖжЖЖ ǅ ʰ",
    "snake_case__x _a",
    "https://example.org/a/b?c=d&e=%20#f",
    "e-mail@example.org",
    "for (let i = 0; i < n; ++i) {\n\treturn x[i] ?? null;\n}\n",
    "    indented\n        more\n\n\n\nend  ",
    "trailing space ",
    " leading",
    "\r\r\n\n\r",
    "mixed 中文 and English，全角。「引号」",
    "日本語のテキスト、カタカナとﾊﾝｶｸ",
    "한글 자모 ㄱㄴㄷ",
    "مرحبا بالعالم، كيف الحال؟",
    "שָׁלוֹם",
    "नमस्ते दुनिया क्षत्रिय",
    "สวัสดีชาวโลก",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️ 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ☕︎",
    "a\u0301 e\u0301\u0323 \u0301 ậ",
    "ﬁ ﬀ Å Å Ω Ω ｆｕｌｌ",
    "𝒳𝓎𝔷 𐍈 𠀀𪚥 𞤀",
    "\u0000 \u0001\u0007\u001b[0m \u007f \u0080",
    "\ufffd \ufffe \uffff \u{10ffff} \u{e000} \u{378}",
    "\ud800",
    "a\udc00b",
    "\ud83d x \ude00",
    "x\ud800\ud800y",
    "∑∫√≠≤ ±×÷ €£¥ ™©® «» „“ ‚‘ … – —",
    "$x^2 + y_1 = \\frac{a}{b}$",
    "|a|b|\n|---|---|\n| 1 | 2 |",
    "<b>bold</b> <br/> &amp; &lt;",
    "a".repeat(300),
    "ab".repeat(150),
    "的".repeat(300),
    "The quick brown fox ".repeat(20),
    "-".repeat(79),
    "=".repeat(257),
    `${" ".repeat(50)}x${"\t".repeat(40)}y`,
  ];
}
