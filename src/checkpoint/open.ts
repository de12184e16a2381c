/**
 * @file A path → an opened `Checkpoint`, whatever its format.
 */

import { join } from "node:path";
import { CusprunError } from "../errors.ts";
import { readFolder, readHead, statPath } from "../regular-files.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { describeBytes, HEAD_BYTES, recogniseFile } from "./foreign-file.ts";
import { openGguf } from "./gguf/open-gguf.ts";
import { ggufModels } from "./gguf/parts.ts";
import { openSafetensors } from "./safetensors/open-safetensors.ts";

/** The first bytes of every GGUF file. */
const GGUF_MAGIC = "GGUF";
const MODEL = "a folder with config.json and safetensors, or a GGUF file";
/** Files that are published next to a model: image encoders, and measured importances. */
const COMPANION = /mmproj|imatrix/i;
/** Names of the pieces into which large files are cut, without being a GGUF model in several parts. */
const PIECE = /\.(?:part\d+of\d+|part-?[a-z0-9]{1,4}|split-[a-z]{2})$/i;

/** The location of a model's weights, and their format. */
export type CheckpointLocation =
  | { readonly format: "safetensors"; readonly folder: string }
  | { readonly format: "gguf"; readonly file: string };

/**
 * Opens a model: a Hugging Face folder, a GGUF file, any part of a GGUF model in several parts, or a folder with just
 * one GGUF model.
 * @throws CusprunError `MODEL_NOT_FOUND`, `MODEL_FILE_MISSING`, and what `openSafetensors` and `openGguf` throw.
 * @example
 * ```ts
 * import { openCheckpoint, resolveModel } from "cusprun";
 *
 * const checkpoint = await openCheckpoint(await resolveModel("smollm2"));
 * try {
 *   const { numHiddenLayers, hiddenSize } = checkpoint.config;
 *   const norm = await checkpoint.readFloat32("model.norm.weight"); // [D]
 *   console.log(numHiddenLayers, hiddenSize, norm.length);
 * } finally {
 *   await checkpoint.close();
 * }
 * ```
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const location = await locateCheckpoint(path);
  return location.format === "gguf" ? openGguf(location.file) : openSafetensors(location.folder);
}

/**
 * Determines the format of the model at a path.
 * @throws CusprunError `MODEL_NOT_FOUND`.
 */
export async function locateCheckpoint(path: string): Promise<CheckpointLocation> {
  const found = await statPath(path, "MODEL_NOT_FOUND", MODEL);
  if (found === null) throw notFound(path, "nothing");
  if (!found.isDirectory()) return { format: "gguf", file: await checkGguf(path) };
  const names = await readFolder(path, "MODEL_NOT_FOUND", MODEL);
  if (names.some((name) => name.endsWith(".safetensors"))) return { format: "safetensors", folder: path };
  const ggufs = ggufModels(names);
  if (ggufs.length === 0) return { format: "safetensors", folder: path };
  if (ggufs.length === 1) return { format: "gguf", file: join(path, ggufs[0]!) };
  const models = ggufs.filter((name) => !COMPANION.test(name));
  throw new CusprunError("MODEL_NOT_FOUND", {
    where: path,
    found: `${ggufs.length} GGUF files: ${ggufs.slice(0, 3).join(", ")}${ggufs.length > 3 ? ", …" : ""}`,
    expected: "one model",
    remedy: models.length === 1 ? `Pass ${join(path, models[0]!)}` : "Pass the path of one of the files",
  });
}

/** Returns the path of a file that starts as GGUF files do. */
async function checkGguf(path: string): Promise<string> {
  const head = await readHead(path, HEAD_BYTES, "MODEL_NOT_FOUND", MODEL);
  if (head === null) throw notFound(path, "nothing");
  if (Buffer.from(head).toString("latin1").startsWith(GGUF_MAGIC)) {
    if (!PIECE.test(path)) return path;
    throw notFound(
      path,
      "the first piece of a file that was cut",
      "Join the pieces, in order, into one .gguf file: cat PIECE1 PIECE2 > FILE",
    );
  }
  const isSafetensors = path.endsWith(".safetensors");
  const foreign = recogniseFile(head, isSafetensors ? "safetensors" : "gguf");
  if (foreign !== null) throw notFound(path, foreign.found, foreign.remedy);
  if (PIECE.test(path))
    throw notFound(path, "a later piece of a file that was cut", "Join the pieces, in order, into one .gguf file");
  throw isSafetensors
    ? notFound(path, "a safetensors file by itself", "Pass its folder, which also has the model's config.json")
    : notFound(path, `${describeBytes(head)}, not with those of a GGUF file`);
}

function notFound(path: string, found: string, remedy = "Pass the model's folder or its GGUF file"): CusprunError {
  return new CusprunError("MODEL_NOT_FOUND", { where: path, found, expected: MODEL, remedy });
}
