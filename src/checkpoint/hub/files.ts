/**
 * @file Selects the files of a repository to download: only those that a checkpoint is read from (no pickles, no ONNX,
 * no second copy of the weights).
 */

import { CusprunError } from "../../errors.ts";
import { partPaths } from "../gguf/parts.ts";
import type { HubModelId } from "./id.ts";
import { TOKENIZER_FILE_NAMES } from "../safetensors/open-safetensors.ts";
import { INDEX_FILE_NAME, SINGLE_FILE_NAME } from "../safetensors/write.ts";

/** A file of a repository. */
export interface HubFile {
  /** Path in the repository. */
  readonly path: string;
  readonly byteLength: number;
  /**
   * The hash that names and verifies the content in the cache: SHA-256 for LFS files, otherwise git's SHA-1 of the
   * blob.
   */
  readonly etag: string;
  /** Git's SHA-1 of the blob: of the pointer if the file is in LFS, otherwise the same as `etag`. */
  readonly gitOid: string;
}

const SHARD = /^model-\d{5}-of-\d{5}\.safetensors$/;

/**
 * Selects the files to download, small ones first.
 * @throws CusprunError `HUB_NOT_FOUND` if the GGUF file is not in the repository, `MODEL_FILE_MISSING` if it has no
 * safetensors.
 */
export function selectHubFiles(files: readonly HubFile[], id: HubModelId): readonly HubFile[] {
  const ggufs = files.filter((file) => file.path.endsWith(".gguf"));
  if (id.ggufFile !== null) {
    const paths = partPaths(id.ggufFile);
    const found = ggufs.filter(({ path }) => paths.includes(path));
    if (found.length === paths.length) return found;
    const isPart = found.length > 0;
    throw new CusprunError("HUB_NOT_FOUND", {
      where: id.repo,
      found: isPart ? `${found.length} of ${paths.length} parts of ${id.ggufFile}` : `no file ${id.ggufFile}`,
      expected: isPart ? "all parts" : `one of its GGUF files${listPaths(ggufs)}`,
      remedy: isPart ? "Choose another file of the repository" : "Correct the file name",
    });
  }
  const small = files.filter(({ path }) => isSmallFile(path));
  const single = files.filter(({ path }) => path === SINGLE_FILE_NAME);
  const shards = files.filter(({ path }) => SHARD.test(path));
  const hasIndex = small.some(({ path }) => path === INDEX_FILE_NAME);
  const weights = single.length > 0 ? single : hasIndex ? shards : [];
  if (weights.length > 0 && small.some(({ path }) => path === "config.json")) return [...small, ...weights];
  throw new CusprunError("MODEL_FILE_MISSING", {
    where: id.repo,
    found: weights.length > 0 ? "no config.json" : "no safetensors weights",
    expected: `config.json and ${SINGLE_FILE_NAME}, or its shards`,
    remedy:
      ggufs.length > 0
        ? `Pass one of its GGUF files, e.g. ${id.repo}/${ggufs[0]!.path}`
        : "Choose a repository with the model's safetensors",
  });
}

function isSmallFile(path: string): boolean {
  return (
    path === "config.json" || path === "generation_config.json" || path === INDEX_FILE_NAME || TOKENIZER_FILE_NAMES.includes(path)
  );
}

function listPaths(files: readonly HubFile[]): string {
  if (files.length === 0) return ", but it has none";
  const shown = files.slice(0, 5).map((file) => file.path);
  return `: ${shown.join(", ")}${files.length > shown.length ? ", …" : ""}`;
}
