/**
 * @file What a folder is that is not a model's folder, and what to do about it: an adapter, the hub's cache, weights in
 * another format.
 */

import { join } from "node:path";
import { readRegularFile, statPath, readFolder } from "../regular-files.ts";
import { isJsonObject, parseJsonBytes, showValue } from "../json.ts";
import { INDEX_FILE_NAME, SINGLE_FILE_NAME } from "./safetensors/write.ts";

/** A folder in words, and the remedy. */
export interface FolderKind {
  readonly found: string;
  readonly remedy: string;
}

/** What a folder lacks that a model's folder has. */
export type Lacking = "config" | "weights";

type Detector = (folder: string, names: readonly string[], lacking: Lacking) => FolderKind | null | Promise<FolderKind | null>;

const READABLE = "a readable model folder";
/** Limit of the files that are read to describe a folder. */
const MAX_DESCRIPTION_BYTES = 2 ** 20;
const SHARD = /^model-\d{5}-of-(\d{5})\.safetensors$/;
const PICKLE = /\.(?:bin|pt|pth|ckpt)$/;
const COMMIT = /^[0-9a-f]{40}$/;

/** In the order in which they are tried. */
const DETECTORS: readonly Detector[] = [adapter, hubCache, originalWeights, misnamedSafetensors, otherFormat, parentOfModels];

/**
 * Describes a folder that cannot be opened.
 * @param names of its entries.
 * @throws CusprunError `MODEL_FILE_MISSING` if its files cannot be read.
 */
export async function describeFolder(folder: string, names: readonly string[], lacking: Lacking): Promise<FolderKind> {
  for (const detect of DETECTORS) {
    const kind = await detect(folder, names, lacking);
    if (kind !== null) return kind;
  }
  const found = names.length === 0 ? "an empty folder" : lacking === "config" ? "no config.json" : "no weights";
  return { found, remedy: "Pass the folder of a model, a GGUF file, or the name of a model on the hub" };
}

async function adapter(folder: string, names: readonly string[]): Promise<FolderKind | null> {
  if (!names.some((name) => /^adapter_(?:config\.json|model\.(?:safetensors|bin))$/.test(name))) return null;
  const base = await readString(join(folder, "adapter_config.json"), "base_model_name_or_path");
  return {
    found: `an adapter (LoRA)${base === null ? "" : ` of ${showValue(base)}`}, which has only the changes of a model`,
    remedy: "Merge it into its base model with peft (merge_and_unload, then save_pretrained), and pass the merged model",
  };
}

async function hubCache(folder: string, names: readonly string[]): Promise<FolderKind | null> {
  const isRepo = names.includes("snapshots") && (names.includes("blobs") || names.includes("refs"));
  const snapshots = isRepo ? join(folder, "snapshots") : folder;
  const commits = isRepo ? await entriesOf(snapshots) : names;
  if (commits.length === 0 || !commits.every((name) => COMMIT.test(name))) return null;
  const ref = isRepo ? await readText(join(folder, "refs", "main")) : null;
  const current = commits.find((commit) => commit === ref?.trim()) ?? (commits.length === 1 ? commits[0]! : null);
  return {
    found: "the hub's cache of a model, with the model in a folder below",
    remedy:
      current === null
        ? `Pass one of its snapshots, such as ${join(snapshots, commits.toSorted()[0]!)}`
        : `Pass ${join(snapshots, current)}`,
  };
}

function originalWeights(_folder: string, names: readonly string[]): FolderKind | null {
  if (!names.some((name) => /^consolidated[^/]*\.(?:safetensors|pth)$/.test(name) || name === "params.json")) return null;
  return {
    found: "the original weights of Meta or Mistral, which have other names and another order than those of transformers",
    remedy: "Choose the copy of the model for transformers, with config.json and model.safetensors (Meta's are named -hf)",
  };
}

function misnamedSafetensors(_folder: string, names: readonly string[], lacking: Lacking): FolderKind | null {
  if (lacking === "config") return null;
  const weights = names.filter((name) => name.endsWith(".safetensors"));
  const [first] = weights;
  if (first === undefined) return null;
  const count = Number(SHARD.exec(first)?.[1] ?? 0);
  if (count > 1) {
    const remedy = `Download ${INDEX_FILE_NAME} too, which says which file has which tensor`;
    return { found: `${weights.length} of ${count} shards, without ${INDEX_FILE_NAME}`, remedy };
  }
  return weights.length === 1
    ? {
        found: `${first}, a name that transformers does not read`,
        remedy: `Rename it to ${SINGLE_FILE_NAME} if it has all weights of the model`,
      }
    : {
        found: `${weights.length} other safetensors files, such as ${first}`,
        remedy: `Rename the one with all weights of the model to ${SINGLE_FILE_NAME}`,
      };
}

function otherFormat(_folder: string, names: readonly string[]): FolderKind | null {
  if (names.includes("model_index.json")) {
    return { found: "a pipeline of diffusers", remedy: "Pass a language model; cusprun does not prune others" };
  }
  if (names.some((name) => PICKLE.test(name))) {
    return {
      found: "only PyTorch pickle weights",
      remedy: "Save the model as safetensors first, with transformers (save_pretrained)",
    };
  }
  const other = names.find((name) => /\.(?:h5|msgpack|onnx|npz)$/.test(name));
  if (other === undefined) return null;
  return {
    found: `weights in another format, such as ${other}`,
    remedy: "Choose a copy of the model with safetensors, or its GGUF file",
  };
}

/** A folder with models below, such as the output of a trainer. */
async function parentOfModels(folder: string, names: readonly string[]): Promise<FolderKind | null> {
  const models: string[] = [];
  for (const name of names.toSorted((a, b) => b.localeCompare(a, "en", { numeric: true })).slice(0, 100)) {
    if (await isModel(join(folder, name))) models.push(name);
  }
  const [last] = models;
  if (last === undefined) return null;
  const found = `a folder with ${models.length === 1 ? "a model" : `${models.length} models`} below it`;
  return { found, remedy: `Pass the model's own folder, such as ${join(folder, last)}` };
}

async function isModel(path: string): Promise<boolean> {
  const config = await statPath(join(path, "config.json"), "MODEL_FILE_MISSING", READABLE).catch(() => null);
  return config?.isFile() === true;
}

async function entriesOf(folder: string): Promise<string[]> {
  return readFolder(folder, "MODEL_FILE_MISSING", READABLE);
}

async function readText(path: string): Promise<string | null> {
  const bytes = await readRegularFile(path, "MODEL_FILE_MISSING", READABLE, MAX_DESCRIPTION_BYTES);
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

async function readString(path: string, key: string): Promise<string | null> {
  const bytes = await readRegularFile(path, "MODEL_FILE_MISSING", READABLE, MAX_DESCRIPTION_BYTES);
  if (bytes === null) return null;
  try {
    const json = parseJsonBytes(bytes);
    const value = isJsonObject(json) ? json[key] : undefined;
    return typeof value === "string" ? value : null;
  } catch {
    return null; // It only adds a name to a message.
  }
}
