/**
 * @file A path → an opened `Checkpoint`, whatever its format.
 */

import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CusprunError } from "../errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { openGguf } from "./gguf/open-gguf.ts";
import { openSafetensors } from "./safetensors/open-safetensors.ts";

/** The first bytes of every GGUF file. */
const GGUF_MAGIC = "GGUF";

/** The location of a model's weights, and their format. */
export type CheckpointLocation =
  | { readonly format: "safetensors"; readonly folder: string }
  | { readonly format: "gguf"; readonly file: string };

/**
 * Opens a model: a Hugging Face folder, a GGUF file, or a folder with exactly one GGUF file.
 * @throws CusprunError `MODEL_NOT_FOUND`, `MODEL_FILE_MISSING`, and what `openSafetensors` and `openGguf` throw.
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const location = await locateCheckpoint(path);
  return location.format === "gguf" ? openGguf(location.file) : openSafetensors(location.folder);
}

/**
 * Determines the format of the model at a path.
 * @throws CusprunError `MODEL_NOT_FOUND`, `MODEL_FILE_MISSING`.
 */
export async function locateCheckpoint(path: string): Promise<CheckpointLocation> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw notFound(path, "nothing");
  if (found.isFile()) {
    if (await isGguf(path)) return { format: "gguf", file: path };
    const isWeights = path.endsWith(".safetensors");
    throw notFound(path, isWeights ? "a safetensors file by itself" : "a file that does not start with the GGUF magic");
  }
  const names = await readdir(path);
  if (names.some((name) => name.endsWith(".safetensors"))) return { format: "safetensors", folder: path };
  const ggufs = names.filter((name) => name.endsWith(".gguf"));
  if (ggufs.length === 0) return { format: "safetensors", folder: path };
  if (ggufs.length === 1) return { format: "gguf", file: join(path, ggufs[0]!) };
  throw new CusprunError("MODEL_NOT_FOUND", {
    where: path,
    found: `${ggufs.length} GGUF files: ${ggufs.toSorted().slice(0, 3).join(", ")}${ggufs.length > 3 ? ", …" : ""}`,
    expected: "one model",
    remedy: "Pass the path of one of the files",
  });
}

async function isGguf(path: string): Promise<boolean> {
  const handle = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    throw notFound(path, `the system error ${error.code}`);
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(GGUF_MAGIC.length), 0, GGUF_MAGIC.length, 0);
    return buffer.toString("latin1", 0, bytesRead) === GGUF_MAGIC;
  } finally {
    await handle.close();
  }
}

function notFound(path: string, found: string): CusprunError {
  return new CusprunError("MODEL_NOT_FOUND", {
    where: path,
    found,
    expected: "a folder with config.json and safetensors, or a GGUF file",
    remedy: "Pass the model's folder or its GGUF file",
  });
}
