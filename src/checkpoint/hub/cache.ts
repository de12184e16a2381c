/**
 * @file The hub's cache on disk, in the layout that all Hugging Face tools share, so that each file is downloaded only
 * once:
 *
 *     models--{owner}--{name}/blobs/{etag}               contents
 *     models--{owner}--{name}/snapshots/{commit}/{path}  links to them
 *     models--{owner}--{name}/refs/{revision}            commit of a branch or tag
 *
 * Source: huggingface_hub, "Understand caching".
 */

import { copyFile, mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { getHFHubCachePath } from "@huggingface/hub";
import type { HubModelId } from "./id.ts";
import { readJsonObject } from "../json-files.ts";
import { parseShardIndex } from "../safetensors/shards.ts";
import { INDEX_FILE_NAME, SINGLE_FILE_NAME } from "../safetensors/write.ts";

const COMMIT = /^[0-9a-f]{40}$/;

/** The cache of one repository. */
export class HubRepoCache {
  readonly #root: string;

  /** @param cacheDir default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
  constructor(repo: string, cacheDir: string = getHFHubCachePath()) {
    this.#root = join(cacheDir, `models--${repo.replaceAll("/", "--")}`);
  }

  /** Path of the content with this hash. */
  blobPath(etag: string): string {
    return join(this.#root, "blobs", etag);
  }

  /** Snapshot folder of a commit. */
  snapshotPath(commit: string): string {
    return join(this.#root, "snapshots", commit);
  }

  /** The commit of a branch or tag when it was last downloaded; null if it never was. */
  async readRef(revision: string): Promise<string | null> {
    if (COMMIT.test(revision)) return revision;
    const ref = await readFile(join(this.#root, "refs", revision), "utf8").catch(() => "");
    return COMMIT.test(ref.trim()) ? ref.trim() : null;
  }

  /** Records the commit of a branch or tag. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (COMMIT.test(revision)) return;
    const path = join(this.#root, "refs", revision);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, commit);
  }

  /**
   * Adds cached content to a commit's folder, as a relative link, or as a copy if the system does not support links.
   */
  async link(commit: string, path: string, etag: string): Promise<void> {
    const target = join(this.snapshotPath(commit), path);
    if (await exists(target)) return;
    await mkdir(dirname(target), { recursive: true });
    await rm(target, { force: true }); // removes a dangling link
    try {
      await symlink(relative(dirname(target), this.blobPath(etag)), target);
    } catch (error) {
      const systemCode = (error as NodeJS.ErrnoException).code;
      if (systemCode === "EEXIST") return; // another process was faster
      if (systemCode !== "EPERM" && systemCode !== "ENOSYS") throw error;
      await copyFile(this.blobPath(etag), target);
    }
  }

  /** Path of the model if the cache contains all of it at a revision, else null. Uses no network. */
  async findComplete(id: HubModelId, revision: string): Promise<string | null> {
    const commit = await this.readRef(revision);
    if (commit === null) return null;
    const folder = this.snapshotPath(commit);
    if (id.ggufFile !== null) {
      const file = join(folder, id.ggufFile);
      return (await exists(file)) ? file : null;
    }
    return (await isCompleteModel(folder)) ? folder : null;
  }
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

/** Whether a file exists; follows links. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
