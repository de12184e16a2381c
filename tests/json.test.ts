import { describe, expect, test } from "vitest";
import { MAX_JSON_DEPTH, parseJson, parseJsonBytes, showValue } from "../src/json.ts";

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
