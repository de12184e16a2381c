/**
 * @file Identifies a file that is not a GGUF file by its first bytes, so that the error message names the mistake.
 */

/** First bytes of the files that are most often passed instead of a GGUF file. */
const SIGNATURES: readonly (readonly [signature: string, description: string])[] = [
  ["PK\u0003\u0004", "a zip archive (or a PyTorch checkpoint)"],
  ["version https://git-lfs", "a Git LFS pointer, not the file itself"],
  ["<!doctype", "an HTML page"],
  ["<html", "an HTML page"],
  ["\u001f\u008b", "a gzip archive"],
  ["lmgg", "a GGML file, the format before GGUF"],
  ["fmgg", "a GGMF file, a format before GGUF"],
  ["tjgg", "a GGJT file, a format before GGUF"],
];

/** Offset of the JSON header's first character in a safetensors file, after the header's length. */
const SAFETENSORS_JSON_AT = 8;

/**
 * Describes a file.
 * @param head its first 64 bytes, or all of a shorter file.
 */
export function describeForeignFile(head: Uint8Array): string {
  if (head.length === 0) return "an empty file";
  const text = Buffer.from(head).toString("latin1");
  const known = SIGNATURES.find(([signature]) => text.toLowerCase().startsWith(signature.toLowerCase()));
  if (known !== undefined) return known[1];
  if (text.startsWith('{"', SAFETENSORS_JSON_AT)) return "a safetensors file";
  return `a file that begins with the bytes ${Buffer.from(head.subarray(0, 4)).toString("hex")}`;
}
