/**
 * @file Values that decoders get wrong: numbers at the limits of types, odd strings, and JSON that is legal but
 * unusual. Samples come from fast-check with a fixed seed.
 */

import fc from "fast-check";
import type { Random } from "./random.ts";

/** Whole numbers at the limits of integer types and of allocations. */
export const NUMBERS: readonly bigint[] = [
  "0 1 2 3 7 8 31 32 33 127 128 255 256 1000 32767 32768 65535 65536 1048576".split(" ").map(BigInt),
  [31n, 32n, 33n, 40n, 53n, 62n, 63n, 64n].flatMap((bits) => [(1n << bits) - 1n, 1n << bits, (1n << bits) + 1n]),
].flat();

/** JSON texts of numbers. */
const JSON_NUMBERS: readonly string[] = [
  NUMBERS.map(String),
  "-1 -0 -2147483648 -9223372036854775808 0.5 1.5 -1.5 1e-320 1e308 1e400 -1e400 1e21 2147483647.5 0.1 3.0 1E2".split(" "),
  "1".padEnd(30, "0"),
].flat();

/** JSON texts that have other types than what is expected, or are no JSON. */
const JSON_ODDITIES: readonly string[] = [
  'null true false "" "0" "1" "-1" "a" "NaN" [] {} [[]] [0] [null] [""] [{}] {"":0} {"__proto__":{"a":1}}'.split(" "),
  '{"constructor":{"prototype":{}}} {"toString":1,"length":-1} {"length":4294967296} "." "a/b" "../../etc/passwd"'.split(" "),
  String.raw`"\ud800" "\udc00\ud800" "\u0000" "\u001b[31m" "/dev/zero"`.split(" "),
  `NaN Infinity -Infinity undefined 01 +1 .5 'a' tru "a /*c*/1 \ufeff1 "\u202e"`.split(" "),
  ["", '"\t"'],
].flat();

/**
 * Any UTF-16 unit, so that there are lone surrogates. The library's own unit of all characters takes a second to set
 * up.
 */
const UNIT = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));

/** JSON texts with ordinary values of every type. */
const JSON_SAMPLES: readonly string[] = fc
  .sample(fc.jsonValue({ maxDepth: 3, stringUnit: UNIT }), { numRuns: 300, seed: 19 })
  .map((value) => JSON.stringify(value));

/** Keys that mean something to JavaScript, or nothing to anybody. */
export const KEYS: readonly string[] = [
  "__proto__ constructor prototype toString valueOf hasOwnProperty length then toJSON __metadata__ format 0 -1 é".split(" "),
  ["", " ", "\u0000", "a".repeat(5000), "\ud800", "\u202e"],
].flat();

/** Strings from fast-check, lone surrogates among them, and long ones. */
export const STRINGS: readonly string[] = [
  fc.sample(fc.string({ unit: UNIT, maxLength: 40 }), { numRuns: 100, seed: 19 }),
  ["", " ", "\n", "\u0000", "\ufeff", "\r\n", "\ud83d", "\udc4d", "\u202e"],
  ["a".repeat(100_000), "\u0301".repeat(2000), "\t".repeat(3000)],
].flat();

/** Depths of nesting: around limits that parsers have, and far past any stack. */
const DEPTHS = [2, 5, 50, 199, 200, 201, 1000, 20_000];

/** A JSON text to put where a value was. */
export function oddJson(random: Random): string {
  const kind = random.next();
  if (kind < 0.35) return random.pick(JSON_NUMBERS);
  if (kind < 0.65) return random.pick(JSON_ODDITIES);
  if (kind < 0.85) return random.pick(JSON_SAMPLES);
  if (kind < 0.93) return nested(random, random.pick(DEPTHS));
  if (kind < 0.97) return JSON.stringify(random.pick(STRINGS));
  const entry = random.pick(["0", '"a"', "[]", "{}", "1e400", "-1"]);
  return `[${`${entry},`.repeat(random.pick([10, 100, 100, 1000, 20_000]))}${entry}]`;
}

/** A number as JSON. */
export function oddJsonNumber(random: Random): string {
  return random.pick(JSON_NUMBERS);
}

/** Lists, objects or both inside one another. */
function nested(random: Random, depth: number): string {
  const [open, close] = random.pick([["[", "]"] as const, ['{"a":', "}"] as const, ['[{"b":', "}]"] as const]);
  return `${open.repeat(depth)}${random.pick(["1", "null", '""'])}${close.repeat(depth)}`;
}
