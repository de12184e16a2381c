import { describe, expect, test } from "vitest";
import { CusprunError } from "../src/errors.ts";
import { findIllFormedText, MAX_JSON_DEPTH, parseJson, parseJsonBytes, showValue } from "../src/json.ts";

const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

describe("parseJson", () => {
  test("accepts the deepest nesting allowed and refuses one level more", () => {
    expect(parseJson(nested(MAX_JSON_DEPTH))).toBeInstanceOf(Array);
    expect(() => parseJson(nested(MAX_JSON_DEPTH + 1))).toThrow("nest more than");
    expect(() => parseJson(`{"a":${nested(20_000)}}`)).toThrow("nest more than");
    expect(() => parseJson("[".repeat(1_000_000))).toThrow("nest more than");
  });

  test("brackets inside strings are no nesting", () => {
    const text = `\\"${"[{".repeat(300)}\\\\`;
    expect(parseJson(`{"a":"${text}","b":[]}`)).toEqual({ a: `"${"[{".repeat(300)}\\`, b: [] });
  });

  test("many siblings are no nesting", () => {
    expect(parseJson(`[${Array.from({ length: 1000 }, () => "[{}]").join(",")}]`)).toHaveLength(1000);
  });

  test("its errors are short, however long the text", () => {
    const error = (() => {
      try {
        return parseJson(`{"a": ${"x".repeat(100_000)}`);
      } catch (thrown) {
        return thrown as SyntaxError;
      }
    })();
    expect(error).toBeInstanceOf(SyntaxError);
    expect((error as SyntaxError).message.length).toBeLessThan(200);
  });

  test("bytes that are not UTF-8 are refused", () => {
    expect(() => parseJsonBytes(Uint8Array.of(0x22, 0xff, 0x22))).toThrow("not UTF-8");
    expect(parseJsonBytes(new TextEncoder().encode('{"ü":1}'))).toEqual({ ü: 1 });
  });
});

describe("findIllFormedText", () => {
  test("finds halves of characters in keys and values, at any depth", () => {
    expect(findIllFormedText(parseJson('{"a":[{"b":"\\ud83d"}]}'))).toBe("\ud83d");
    expect(findIllFormedText(parseJson('{"a":{"\\ude00x":1}}'))).toBe("\ude00x");
    expect(findIllFormedText(parseJson('{"a":["\\ud83d\\ude00","\\\\ud83d"],"b":null}'))).toBeNull();
  });
});

describe("showValue", () => {
  test("shows small values as JSON", () => {
    expect(showValue({ a: [1, "x", null, true], b: { c: 2.5 } })).toBe('{"a":[1,"x",null,true],"b":{"c":2.5}}');
    expect(showValue(undefined)).toBe("nothing");
    expect(showValue(Number.NaN)).toBe("NaN");
    expect(showValue(10n)).toBe("10");
    expect(showValue(new Uint8Array(5))).toBe("5 bytes");
  });

  test("bounds depth and length of any value", () => {
    const deep = JSON.parse(nested(5000)) as unknown;
    expect(showValue(deep)).toBe("[[[[[…]]]]]");
    expect(showValue(Array.from({ length: 5_000_000 }, () => 7)).length).toBeLessThanOrEqual(81);
    expect(showValue("x".repeat(1_000_000)).length).toBeLessThanOrEqual(81);
    expect(showValue({ ["k".repeat(100_000)]: 1 }).length).toBeLessThanOrEqual(81);
    const circle: unknown[] = [];
    circle.push(circle);
    expect(showValue(circle)).toBe("[[[[[…]]]]]");
  });
});

describe("a message", () => {
  test("is bounded, however long the names in it, and keeps their start and end", () => {
    const where = `model.safetensors: tensor '${"a".repeat(100_000)}.weight'`;
    const error = new CusprunError("TENSOR_UNKNOWN", { where, found: "x".repeat(9000), expected: "b", remedy: "c" });
    expect(error.message.length).toBeLessThan(1500);
    expect(error.parts.where).toMatch(/^model\.safetensors: tensor 'a+…a+\.weight'$/);
  });
});
