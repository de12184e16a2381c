/**
 * @file The name of a model on the hub → its local path; downloads missing files.
 */

import { join } from "node:path";
import { CusprunError } from "../../errors.ts";
import { showValue } from "../../json.ts";
import { partPaths } from "../gguf/parts.ts";
import { readJsonObject } from "../json-files.ts";
import { parseShardIndex } from "../safetensors/shards.ts";
import { INDEX_FILE_NAME, SINGLE_FILE_NAME } from "../safetensors/write.ts";
import { exists } from "../../folders.ts";
import { HubRepoCache } from "./cache.ts";
import { type DownloadOptions, HubClient } from "./client.ts";
import { offlineVariable } from "./environment.ts";
import { isUnreachable, offlineError } from "./errors.ts";
import { selectHubFiles } from "./files.ts";
import { type HubModelId, type HubRepo, isCommit, isRevision, parseHubModelId } from "./id.ts";

export type { DownloadOptions } from "./client.ts";

const DEFAULT_REVISION = "main";

/**
 * Downloads a model's config, tokenizer and safetensors, or one GGUF file, to the cache shared by all Hugging Face
 * tools, skipping files that it already contains. An aborted or failed download is kept as `*.incomplete` and resumed
 * by the next run. If the hub cannot be reached, a complete copy in the cache is used.
 * @param name `owner/name[/file.gguf][@revision]`.
 * @returns the path of the model's folder, or of the GGUF file.
 * @throws CusprunError `MODEL_NAME`, `HUB_NOT_FOUND`, `HUB_FORBIDDEN`, `HUB_UNREACHABLE`, `HUB_RESPONSE`,
 * `MODEL_FILE_MISSING`, `DOWNLOAD_FAILED`, `CHECKSUM`, `DISK_FULL`, `OUTPUT_UNWRITABLE`; the signal's reason on abort.
 */
export async function downloadModel(name: string, options: DownloadOptions = {}): Promise<string> {
  const id = parseHubModelId(name);
  if (id === null) throw invalidName(name);
  const revision = options.revision ?? id.revision ?? DEFAULT_REVISION;
  if (!isRevision(revision)) throw invalidName(`${id.repo}@${revision}`);
  const repo: HubRepo = { type: "model", name: id.repo };
  const cache = new HubRepoCache(repo, options.cacheDir);
  const offline = offlineVariable();
  const cached = await findComplete(cache, id, revision);
  // A commit never changes; a branch may have moved.
  if (cached !== null && (offline !== null || isCommit(revision))) return cached;
  if (offline !== null) throw offlineError(name, "model", offline);
  try {
    const client = await HubClient.create(repo, options);
    const commit = await client.commitOf(revision);
    const files = selectHubFiles(await client.listFiles(commit), id);
    await client.fetchFiles(files, commit, cache);
    await cache.writeRef(revision, commit);
    const folder = cache.snapshotPath(commit);
    return id.ggufFile === null ? folder : join(folder, id.ggufFile);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (cached !== null && isUnreachable(error)) return cached;
    throw error;
  }
}

/** Path of the model if the cache contains all of it at a revision, else null. Uses no network. */
async function findComplete(cache: HubRepoCache, id: HubModelId, revision: string): Promise<string | null> {
  const commit = await cache.readRef(revision);
  if (commit === null) return null;
  const folder = cache.snapshotPath(commit);
  if (id.ggufFile !== null) {
    const found = await Promise.all(partPaths(id.ggufFile).map((path) => exists(join(folder, path))));
    return found.every(Boolean) ? join(folder, id.ggufFile) : null;
  }
  return (await isCompleteModel(folder)) ? folder : null;
}

async function isCompleteModel(folder: string): Promise<boolean> {
  if (!(await exists(join(folder, "config.json")))) return false;
  if (await exists(join(folder, SINGLE_FILE_NAME))) return true;
  const indexPath = join(folder, INDEX_FILE_NAME);
  const index = await readJsonObject(indexPath);
  if (index === null) return false;
  const shards = new Set(parseShardIndex(index, indexPath).values());
  const found = await Promise.all([...shards].map((shard) => exists(join(folder, shard))));
  return found.every(Boolean);
}

function invalidName(name: string): CusprunError {
  return new CusprunError("MODEL_NAME", {
    where: "model",
    found: showValue(name),
    expected: "owner/name, owner/name/file.gguf or owner/name@revision",
    remedy: "Use the name shown on the model's page on the hub",
  });
}
