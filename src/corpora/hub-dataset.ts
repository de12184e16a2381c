/**
 * @file The name of a dataset on the hub → its Parquet files on this machine: those of one configuration and one split,
 * as `load_dataset` chooses them, and no more of them than a corpus needs.
 */

import { stat } from "node:fs/promises";
import { type DatasetFile, fetchDatasetFiles } from "../checkpoint/hub/dataset.ts";
import { parseHubDatasetId } from "../checkpoint/hub/id.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import { hasFileExtension, shortList } from "./corpus-files.ts";

/** Files of a split are downloaded in order up to this size; the first one always. */
const MAX_DOWNLOAD_BYTES = 2 ** 29;

/** Forms in which people copy a dataset's name. */
const PREFIX = /^(?:hf:\/\/datasets\/|(?:https:\/\/)?huggingface\.co\/datasets\/)/;
/** `owner/name[/configuration][:split][@revision]`. */
const SPEC = /^([^:@]+)(?::([\w.-]+))?(@.+)?$/;

/** Names of splits at the start of a file's name, as `datasets` recognises them. */
const SPLIT_NAMES = /^(train|test|validation|valid|dev|val|eval)(?![a-z])/;

/** A dataset as the user named it. */
export interface DatasetSpec {
  /** `owner/name[/configuration][@revision]`. */
  readonly name: string;
  readonly split: string | null;
}

/** Which part of a dataset a file belongs to. */
interface Part {
  /** Folders, without that of the split; empty at the top. */
  readonly configuration: string;
  /** Null if the file's name does not say. */
  readonly split: string | null;
}

/**
 * Parses the name of a dataset.
 * @param text what does not exist as a path.
 * @returns null if it rather is a path: one with a file's extension, or in a folder that exists.
 */
export async function parseDatasetSpec(text: string): Promise<DatasetSpec | null> {
  const bare = text.replace(PREFIX, "");
  const [, path, split, revision = ""] = SPEC.exec(bare) ?? [];
  const name = `${path ?? ""}${revision}`;
  if (path === undefined || parseHubDatasetId(name) === null) return null;
  if (bare === text) {
    if (hasFileExtension(path)) return null;
    const folder = await stat(path.split("/", 1)[0] ?? "").catch(() => null);
    if (folder !== null) return null;
  }
  return { name, split: split ?? null };
}

/**
 * Downloads a dataset's files, or finds them in the cache that all Hugging Face tools share.
 * @returns local paths, in the order of their names in the dataset, and notes on what was chosen.
 * @throws CusprunError `DATASET_PART` if the dataset has several configurations and none is named, or not the named
 * split; and what `fetchDatasetFiles` throws.
 */
export async function fetchHubDataset(
  { name, split }: DatasetSpec,
  options: JobOptions,
): Promise<{ readonly files: readonly string[]; readonly notes: readonly string[] }> {
  let all = 0;
  let chosenSplit: string | null = split;
  const select = (files: readonly DatasetFile[]): readonly DatasetFile[] => {
    const configured = ofOneConfiguration(files, name);
    chosenSplit = split ?? defaultSplit(configured);
    const ofSplit = chosenSplit === null ? configured : configured.filter((file) => partOf(file).split === chosenSplit);
    if (ofSplit.length === 0) throw unknownPart(name, `no split '${chosenSplit}'`, "split", splitsOf(configured), ":");
    all = ofSplit.length;
    return firstFiles(ofSplit);
  };
  const { files, commit } = await fetchDatasetFiles(name, { ...options, select });
  const part = chosenSplit === null ? "" : `split ${chosenSplit}, `;
  const note = `${part}commit ${commit.slice(0, 7)}, ${files.length} of ${all} ${all === 1 ? "file" : "files"}`;
  return { files: files.map(({ localPath }) => localPath), notes: [note] };
}

/** The first files, up to `MAX_DOWNLOAD_BYTES`. */
function firstFiles(files: readonly DatasetFile[]): readonly DatasetFile[] {
  let total = 0;
  const count = files.findIndex(({ byteLength }) => (total += byteLength) > MAX_DOWNLOAD_BYTES);
  return count === -1 ? files : files.slice(0, Math.max(1, count));
}

/** The files of the only configuration; of `default` if there are several. */
function ofOneConfiguration(files: readonly DatasetFile[], name: string): readonly DatasetFile[] {
  const configurations = [...new Set(files.map((file) => partOf(file).configuration))];
  if (configurations.length <= 1) return files;
  const chosen = configurations.find((configuration) => configuration === "default");
  if (chosen !== undefined) return files.filter((file) => partOf(file).configuration === chosen);
  throw unknownPart(name, "no configuration", "configuration", configurations, "/");
}

/** As `load_dataset` is nearly always called: `train`, or the only split; null if the names say nothing. */
function defaultSplit(files: readonly DatasetFile[]): string | null {
  const splits = splitsOf(files);
  if (splits.includes("train")) return "train";
  return splits[0] ?? null;
}

function splitsOf(files: readonly DatasetFile[]): string[] {
  return [...new Set(files.map((file) => partOf(file).split))].filter((split) => split !== null);
}

/**
 * The part of a file by its path: `{configuration}/{split}/0000.parquet` in the hub's conversion; otherwise
 * `data/{split}-00000-of-00002.parquet` or `{configuration}/{split}-00000-of-00002.parquet`.
 */
function partOf({ path }: DatasetFile): Part {
  const folders = path.split("/");
  const stem = (folders.pop() ?? "").replace(/\.parquet$/, "");
  // The conversion of a dataset above 5 GB is the beginning of each split.
  const inFolder = /^\d+$/.test(stem) ? (folders.pop() ?? null)?.replace(/^partial-/, "") : undefined;
  const split = inFolder ?? /^(.+)-\d{5}-of-\d{5}/.exec(stem)?.[1] ?? SPLIT_NAMES.exec(stem)?.[1] ?? null;
  const configuration = folders.filter((folder) => folder !== "data").join("/");
  return { configuration, split };
}

function unknownPart(name: string, found: string, kind: string, parts: readonly string[], mark: string): CusprunError {
  const [repo = "", revision] = name.split("@");
  return new CusprunError("DATASET_PART", {
    where: `dataset ${name}`,
    found,
    expected: `one of its ${kind}s: ${shortList(parts)}`,
    remedy: `Name one, e.g. ${repo}${mark}${parts[0] ?? "train"}${revision === undefined ? "" : `@${revision}`}`,
  });
}
