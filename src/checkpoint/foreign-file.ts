/**
 * @file Identifies a file that is not what its name says by its first bytes, so that the error names the mistake.
 */

/** The file formats of a model. */
export type FileKind = "gguf" | "safetensors" | "json";

/** What a file is, and what to do about it. */
export interface ForeignFile {
  readonly found: string;
  readonly remedy: string;
}

/** Bytes at the start of a file that `recogniseFile` needs. */
export const HEAD_BYTES = 64;

const POINTER: ForeignFile = {
  found: "a Git LFS pointer, not the file itself",
  remedy: "Run `git lfs pull` in the folder of the model, or download the file again",
};
const PAGE: ForeignFile = {
  found: "an HTML page",
  remedy: "Download the file itself: on the hub from /resolve/ instead of /blob/; a page may also be a request to log in",
};
const OLD_GGML = "Convert the original model to GGUF with llama.cpp's convert_hf_to_gguf.py";
const PICKLE: ForeignFile = {
  found: "a PyTorch checkpoint",
  remedy: "Load the model with transformers and save it with save_pretrained, which writes safetensors",
};

/** Offset of the JSON header's first character in a safetensors file, after the header's length. */
const SAFETENSORS_JSON_AT = 8;

const ZIP = "pk\u0003\u0004";
/** The first entry of the zip archive that `torch.save` writes. */
const ZIPPED_PICKLE = "/data.pkl";

/** First bytes of the files that are most often found instead of a model's, in lower case. */
const SIGNATURES: readonly (readonly [signature: string, file: ForeignFile])[] = [
  ["version https://git-lfs", POINTER],
  ["<!doctype", PAGE],
  ["<html", PAGE],
  ["<?xml", { found: "an XML page", remedy: "Download the file again; the page may be an error of the server" }],
  [ZIP, { found: "a zip archive", remedy: "Unpack it" }],
  ["\u0080\u0002", PICKLE],
  ["\u0080\u0004", PICKLE],
  ["\u001f\u008b", { found: "a gzip archive", remedy: "Unpack it with gunzip" }],
  ["(\u00b5/\u00fd", { found: "a Zstandard archive", remedy: "Unpack it with unzstd" }],
  ["7z\u00bc\u00af\u0027\u001c", { found: "a 7-Zip archive", remedy: "Unpack it" }],
  ["\u0089hdf\r\n", { found: "an HDF5 file", remedy: "Choose a copy of the model in safetensors or GGUF" }],
  ["lmgg", { found: "a GGML file, the format before GGUF", remedy: OLD_GGML }],
  ["fmgg", { found: "a GGMF file, a format before GGUF", remedy: OLD_GGML }],
  ["tjgg", { found: "a GGJT file, a format before GGUF", remedy: OLD_GGML }],
];

/**
 * Recognises a file of another kind.
 * @param head its first `HEAD_BYTES` bytes, or all of a shorter file.
 * @param expected the kind that it should be.
 * @returns null for a file that may be of that kind, or is of no known one.
 */
export function recogniseFile(head: Uint8Array, expected: FileKind): ForeignFile | null {
  if (head.length === 0) return { found: "an empty file", remedy: "Download the file again" };
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, HEAD_BYTES)).toString("latin1");
  // A header's length may be the same bytes as a signature.
  if (expected === "safetensors" && text.startsWith("{", SAFETENSORS_JSON_AT) && !text.startsWith("GGUF")) return null;
  // Text may start with white space or a byte order mark.
  const start = text.toLowerCase().replace(/^(?:\u00ef\u00bb\u00bf)?\s+/, "");
  if (start.startsWith(ZIP) && text.includes(ZIPPED_PICKLE)) return PICKLE;
  const known = SIGNATURES.find(([signature]) => start.startsWith(signature));
  if (known !== undefined) return known[1];
  if (text.startsWith("GGUF") && expected !== "gguf") {
    return { found: "a GGUF file", remedy: "Rename it so that its name ends in .gguf, and pass its path" };
  }
  if (expected !== "safetensors" && /^\{\s*"/.test(text.slice(SAFETENSORS_JSON_AT))) {
    return {
      found: "a safetensors file",
      remedy: "Name it model.safetensors and pass its folder, together with the model's config.json and tokenizer.json",
    };
  }
  if (expected !== "json" && /^\{[\s"]/.test(start)) return { found: "a JSON file", remedy: "Download the file again" };
  return null;
}

/** Recognises what stands in the place of any file that was not downloaded: a Git LFS pointer or a web page. */
export function recogniseStandIn(head: Uint8Array): ForeignFile | null {
  const found = recogniseFile(head, "json");
  return found === POINTER || found === PAGE ? found : null;
}

/** A file in words, if `recogniseFile` does not know it. */
export function describeBytes(head: Uint8Array): string {
  return `a file that begins with the bytes ${Buffer.from(head.subarray(0, 4)).toString("hex")}`;
}
