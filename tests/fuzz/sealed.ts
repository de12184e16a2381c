/**
 * @file Records of a work folder with other contents, and a seal that fits them.
 */

import { digestOf } from "../../src/pipeline/work-records.ts";

/** A record with its content changed. */
export function resealed(record: Buffer, change: (content: unknown) => unknown): Buffer {
  const { content } = JSON.parse(record.toString("utf8")) as { readonly content: unknown };
  const changed = change(content);
  return Buffer.from(JSON.stringify({ digest: digestOf(changed), content: changed }));
}
