/**
 * @file The hub's cache on disk, in the layout that all Hugging Face tools share, so that each file is downloaded only
 * once:
 *
 *     {type}s--{owner}--{name}/blobs/{etag}               contents
 *     {type}s--{owner}--{name}/snapshots/{commit}/{path}  links to them
 *     {type}s--{owner}--{name}/refs/{revision}            commit of a branch or tag
 *     {type}s--{owner}--{name}/trees/{commit}.json        all files of a commit
 *
 * Source: huggingface_hub 2.4, "Understand caching" and `_tree_cache.py`.
 */

import { copyFile, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { exists } from "../../folders.ts";
import { writeFileAtomically } from "../../atomic-write.ts";
import { isJsonObject } from "../../json.ts";
import { asWriteError, systemCodeOf } from "../../system-errors.ts";
import { readJsonObject } from "../json-files.ts";
import { hubCacheFolder } from "./environment.ts";
import type { HubFile } from "./files.ts";
import { type HubRepo, isCommit } from "./id.ts";

/** `TREE_CACHE_FORMAT_VERSION`. */
const TREE_FORMAT = 1;

/** The cache of one repository. */
export class HubRepoCache {
  readonly #root: string;

  /** @param cacheDir default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
  constructor({ type, name }: HubRepo, cacheDir: string = hubCacheFolder()) {
    this.#root = join(cacheDir, `${type}s--${name.replaceAll("/", "--")}`);
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
    if (isCommit(revision)) return revision;
    const ref = await readFile(join(this.#root, "refs", revision), "utf8").catch(() => "");
    return isCommit(ref.trim()) ? ref.trim() : null;
  }

  /**
   * Records the commit of a branch or tag.
   * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`.
   */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (isCommit(revision)) return;
    const path = join(this.#root, "refs", revision);
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, commit);
    } catch (error) {
      throw asWriteError(error, path, "HF_HOME");
    }
  }

  /** All files of a commit in the repository; null if they were never recorded. */
  async readTree(commit: string): Promise<readonly HubFile[] | null> {
    const json = await readJsonObject(this.#treePath(commit)).catch(() => null);
    if (json === null || json["format_version"] !== TREE_FORMAT || !isJsonObject(json["files"])) return null;
    const files: HubFile[] = [];
    for (const [path, entry] of Object.entries(json["files"])) {
      const { size, blob_id: gitOid, lfs_sha256: sha256 } = isJsonObject(entry) ? entry : {};
      if (typeof size !== "number" || typeof gitOid !== "string") return null;
      files.push({ path, byteLength: size, etag: typeof sha256 === "string" ? sha256 : gitOid, gitOid });
    }
    return files;
  }

  /** Records all files of a commit. If that is impossible, only reading without a connection needs them. */
  async writeTree(commit: string, files: readonly HubFile[]): Promise<void> {
    const entries = files.map(({ path, byteLength: size, etag, gitOid }) => {
      return [path, { size, blob_id: gitOid, ...(etag !== gitOid && { lfs_sha256: etag, lfs_size: size }) }] as const;
    });
    const tree = { format_version: TREE_FORMAT, files: Object.fromEntries(entries) };
    await writeFileAtomically(this.#treePath(commit), (path) => writeFile(path, JSON.stringify(tree, null, 1))).catch(() => {});
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
      const systemCode = systemCodeOf(error);
      if (systemCode === "EEXIST") return; // another process was faster
      if (systemCode !== "EPERM" && systemCode !== "ENOSYS") throw error;
      await copyFile(this.blobPath(etag), target);
    }
  }

  #treePath(commit: string): string {
    return join(this.#root, "trees", `${commit}.json`);
  }
}
