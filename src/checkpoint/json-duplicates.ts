/**
 * @file Finds duplicate keys in the objects of a JSON text. `JSON.parse` silently keeps the last one, so a header could
 * describe one tensor to cusprun and another to a reader that keeps the first.
 */

import { CLOSE_BRACE, COLON, endOfString, OPEN_BRACE, QUOTE } from "../json-characters.ts";

/**
 * The first key that is repeated in an object, or null.
 * @param json a text that `JSON.parse` accepted.
 */
export function findDuplicateKey(json: string): string | null {
  const open: Set<string>[] = [];
  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case OPEN_BRACE:
        open.push(new Set());
        break;
      case CLOSE_BRACE:
        open.pop();
        break;
      case QUOTE: {
        const end = endOfString(json, i);
        // In valid JSON, a string is a key if and only if a colon follows it.
        if (isFollowedByColon(json, end)) {
          const key = JSON.parse(json.slice(i, end)) as string; // escapes: "a" and "\u0061" are the same key
          const keys = open.at(-1);
          if (keys?.has(key)) return key;
          keys?.add(key);
        }
        i = end - 1;
        break;
      }
      default:
    }
  }
  return null;
}

function isFollowedByColon(json: string, position: number): boolean {
  let i = position;
  while (i < json.length && json.charCodeAt(i) <= 0x20) i++; // JSON's white space
  return json.charCodeAt(i) === COLON;
}
