/**
 * @file The name of a dataset on the hub → local Parquet files; downloads missing ones.
 */

import { readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { CusprunError } from "../../errors.ts";
import { showValue } from "../../json.ts";
import { HubRepoCache } from "./cache.ts";
import { type DownloadOptions, HubClient } from "./client.ts";
import { offlineVariable } from "./environment.ts";
import { isUnreachable, offlineError } from "./errors.ts";
import type { HubFile } from "./files.ts";
import { type HubDatasetId, type HubRepo, isCommit, isRevision, parseHubDatasetId } from "./id.ts";

/** A Parquet file of a dataset. */
export interface DatasetFile {
  /**
   * Path in the repository, e.g. `data/train-00000-of-00002.parquet`; `{config}/{split}/0000.parquet` in the hub's
   * conversion.
   */
  readonly path: string;
  readonly byteLength: number;
}

/** The files of a dataset on this machine. */
export interface DatasetFiles {
  /** `owner/name`. */
  readonly repo: string;
  /** The revision that was read: that of the name, `main`, or the hub's conversion to Parquet. */
  readonly revision: string;
  /** Its commit, 40 hex digits. */
  readonly commit: string;
  /** In the order of their paths; at least one. */
  readonly files: readonly (DatasetFile & { readonly localPath: string })[];
}

/** Options of `fetchDatasetFiles`. */
export interface DatasetOptions extends DownloadOptions {
  /**
   * Chooses the files to download, for example those of one split; may throw its own error. Receives all Parquet files
   * of the dataset, or of the path in its name, at least one. Default: all.
   */
  readonly select?: (files: readonly DatasetFile[]) => readonly DatasetFile[];
}

const DEFAULT_REVISION = "main";
/** The branch with the hub's own conversion of a dataset in another format. */
const CONVERTED_REVISION = "refs/convert/parquet";
/** The number of a file and of its set in its name, e.g. `train-00001-of-00004.parquet` (also with a hash after it). */
const NUMBERED = /^(.*)-(\d{5})-of-(\d{5})(-[0-9a-f]+)?\.parquet$/;

/**
 * Downloads Parquet files of a dataset to the cache shared by all Hugging Face tools, skipping files that it already
 * contains. If the name has no revision and `main` has no Parquet files, the hub's conversion is used. If the hub
 * cannot be reached, or HF_HUB_OFFLINE is set, a complete copy in the cache is used.
 * @param name `owner/name[/path][@revision]`; `path` is a folder or a file of the repository.
 * @throws CusprunError `DATASET_NAME`, `HUB_NOT_FOUND` (also if there are no Parquet files), `HUB_FORBIDDEN`,
 * `HUB_UNREACHABLE`, `HUB_RESPONSE`, `DOWNLOAD_FAILED`, `CHECKSUM`, `DISK_FULL`, `OUTPUT_UNWRITABLE`; what `select`
 * throws; the signal's reason on abort.
 */
export async function fetchDatasetFiles(name: string, options: DatasetOptions = {}): Promise<DatasetFiles> {
  const id = parseHubDatasetId(name);
  if (id === null) throw invalidName(name);
  const given = options.revision ?? id.revision;
  if (given !== null && !isRevision(given)) throw invalidName(`${id.repo}@${given}`);
  const revisions = given === null ? [DEFAULT_REVISION, CONVERTED_REVISION] : [given];
  const repo: HubRepo = { type: "dataset", name: id.repo };
  const cache = new HubRepoCache(repo, options.cacheDir);
  const offline = offlineVariable();
  if (offline !== null || (given !== null && isCommit(given))) {
    const cached = await findCached(cache, id, revisions, options);
    if (cached !== null) return cached;
    if (offline !== null) throw offlineError(name, "dataset", offline);
  }
  try {
    return await download(await HubClient.create(repo, options), cache, id, revisions, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    const cached = isUnreachable(error) ? await findCached(cache, id, revisions, options) : null;
    if (cached === null) throw error;
    return cached;
  }
}

async function download(
  client: HubClient,
  cache: HubRepoCache,
  id: HubDatasetId,
  revisions: readonly string[],
  options: DatasetOptions,
): Promise<DatasetFiles> {
  for (const revision of revisions) {
    const commit = await commitIfPresent(client, revision);
    if (commit === null) continue;
    const tree = await client.listFiles(commit);
    const all = parquetFiles(tree, id);
    if (all.length === 0) continue;
    const files = select(all, options);
    await client.fetchFiles(files, commit, cache);
    await cache.writeTree(commit, tree);
    await cache.writeRef(revision, commit);
    return describe(cache, id, revision, commit, files);
  }
  throw new CusprunError("HUB_NOT_FOUND", {
    where: id.repo,
    found: `no Parquet files${id.path === null ? "" : ` at ${id.path}`} in ${revisions.join(" or ")}`,
    expected: "a dataset with Parquet files, its own or the hub's conversion",
    remedy:
      id.path === null
        ? "Download the dataset's files and pass their paths"
        : `Correct the path after ${id.repo}/, or leave it out`,
  });
}

/** Null for the conversion of a dataset that has none. */
async function commitIfPresent(client: HubClient, revision: string): Promise<string | null> {
  try {
    return await client.commitOf(revision);
  } catch (error) {
    const isAbsent = error instanceof CusprunError && error.code === "HUB_NOT_FOUND";
    if (revision === CONVERTED_REVISION && isAbsent) return null;
    throw error;
  }
}

/** The files in the cache if they are complete, else null. Uses no network. */
async function findCached(
  cache: HubRepoCache,
  id: HubDatasetId,
  revisions: readonly string[],
  options: DatasetOptions,
): Promise<DatasetFiles | null> {
  for (const revision of revisions) {
    const commit = await cache.readRef(revision);
    if (commit === null) continue;
    const folder = cache.snapshotPath(commit);
    const tree = await cache.readTree(commit);
    const all = parquetFiles(tree ?? (await filesOf(folder)), id);
    // Other tools may have recorded no list of the files; then those whose names are numbered must be complete.
    if (all.length === 0 || (tree === null && all[0]!.path !== id.path && !isWholeSet(all))) continue;
    const files = select(all, options);
    const sizes = await Promise.all(files.map(({ path }) => sizeOf(join(folder, path))));
    if (files.every(({ byteLength }, i) => sizes[i] === byteLength)) return describe(cache, id, revision, commit, files);
  }
  return null;
}

function parquetFiles<File extends DatasetFile>(files: readonly File[], { path: below }: HubDatasetId): File[] {
  const isBelow = (path: string): boolean => below === null || path === below || path.startsWith(`${below}/`);
  return files.filter(({ path }) => path.endsWith(".parquet") && isBelow(path)).toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** The chosen files, as listed. */
function select<File extends DatasetFile>(files: readonly File[], { select: choose }: DatasetOptions): readonly File[] {
  if (choose === undefined) return files;
  const chosen = new Set(choose(files).map(({ path }) => path));
  return files.filter(({ path }) => chosen.has(path));
}

function isWholeSet(files: readonly DatasetFile[]): boolean {
  const counts = new Map<string, { found: number; readonly expected: number }>();
  for (const { path } of files) {
    const [, stem, , count] = NUMBERED.exec(path) ?? [];
    if (stem === undefined) continue;
    const set = counts.get(stem) ?? { found: 0, expected: Number(count) };
    set.found++;
    counts.set(stem, set);
  }
  return [...counts.values()].every(({ found, expected }) => found === expected);
}

async function filesOf(folder: string): Promise<HubFile[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const files: HubFile[] = [];
  for (const name of names) {
    const byteLength = await sizeOf(join(folder, name));
    if (byteLength !== null) files.push({ path: name.replaceAll(sep, "/"), byteLength, etag: "", gitOid: "" });
  }
  return files;
}

/** Size of a file, null for anything else; follows links. */
async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true ? found.size : null;
}

function describe(
  cache: HubRepoCache,
  { repo }: HubDatasetId,
  revision: string,
  commit: string,
  files: readonly HubFile[],
): DatasetFiles {
  const folder = cache.snapshotPath(commit);
  const located = files.map(({ path, byteLength }) => ({ path, byteLength, localPath: join(folder, path) }));
  return { repo, revision, commit, files: located };
}

function invalidName(name: string): CusprunError {
  return new CusprunError("DATASET_NAME", {
    where: "dataset",
    found: showValue(name),
    expected: "owner/name, owner/name/path or owner/name@revision",
    remedy: "Use the name shown on the dataset's page on the hub",
  });
}
