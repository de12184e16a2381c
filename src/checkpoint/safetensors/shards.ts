/**
 * @file Opens the safetensors files of a folder: `model.safetensors`, or the shards in `model.safetensors.index.json`,
 * checked against the index. Source: transformers, `utils/hub.py` (`get_checkpoint_shard_files`).
 */

import { join } from "node:path";
import { CusprunError } from "../../errors.ts";
import { readFolder } from "../../regular-files.ts";
import { ConfigFields } from "../config/config-fields.ts";
import { isJsonObject, showValue } from "../../json.ts";
import { describeFolder } from "../folder-kinds.ts";
import { readJsonObject } from "../json-files.ts";
import { SafetensorsFile } from "./read.ts";
import { INDEX_FILE_NAME, SINGLE_FILE_NAME } from "./write.ts";

/**
 * Maximum number of open files; the largest published checkpoints have about 200 shards, and systems allow at least
 * 1024.
 */
const MAX_SHARDS = 512;
/** A shard is a file name in the folder of the index: not a path, and not hidden. */
const SHARD_NAME = /^[^./\\:\0][^/\\:\0]*\.safetensors$/;

/**
 * Opens the weights of a folder. The caller closes the files.
 * @returns the files, and the file that contains each tensor, in the order of the files.
 * @throws CusprunError `MODEL_FILE_MISSING`, `SHARD_INDEX`, `SHARD_MISSING`, `SHARD_MISMATCH`, `TENSOR_DUPLICATE`,
 * `JSON_INVALID`, and what `SafetensorsFile.open` throws.
 */
export async function openWeights(folder: string): Promise<{
  readonly files: readonly SafetensorsFile[];
  readonly fileOfTensor: ReadonlyMap<string, SafetensorsFile>;
}> {
  const names = await readFolder(folder, "MODEL_FILE_MISSING", "a readable model folder");
  const files: SafetensorsFile[] = [];
  try {
    // If a folder has both, transformers reads the single file.
    if (names.includes(SINGLE_FILE_NAME)) {
      const file = await SafetensorsFile.open(join(folder, SINGLE_FILE_NAME));
      files.push(file);
      return { files, fileOfTensor: new Map([...file.tensors.keys()].map((name) => [name, file])) };
    }
    const indexPath = join(folder, INDEX_FILE_NAME);
    const index = await readJsonObject(indexPath);
    if (index === null) throw await noWeights(folder, names);
    const weightMap = parseShardIndex(index, indexPath);
    for (const shard of [...new Set(weightMap.values())].toSorted()) {
      if (!names.includes(shard)) throw missingShard(folder, shard, indexPath);
      files.push(await SafetensorsFile.open(join(folder, shard)));
    }
    return { files, fileOfTensor: placeTensors(files, weightMap, folder, indexPath) };
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

/**
 * The `weight_map` of an index: tensor name → shard's file name.
 * @throws CusprunError `SHARD_INDEX`.
 */
export function parseShardIndex(index: Readonly<Record<string, unknown>>, where: string): ReadonlyMap<string, string> {
  const map = new ConfigFields(index, where).value("weight_map");
  if (!isJsonObject(map)) throw badIndex(where, showValue(map), "an object that maps tensor names to file names");
  const entries = Object.entries(map);
  if (entries.length === 0) throw badIndex(where, "no tensors", "at least one tensor");
  const placed = new Map<string, string>();
  for (const [tensor, shard] of entries) {
    if (typeof shard !== "string" || !SHARD_NAME.test(shard)) {
      throw badIndex(
        `${where}: '${tensor}'`,
        showValue(shard),
        "the name of a .safetensors file in the same folder, without a path",
      );
    }
    placed.set(tensor, shard);
  }
  const shardCount = new Set(placed.values()).size;
  if (shardCount > MAX_SHARDS) throw badIndex(where, `${shardCount} shards`, `at most ${MAX_SHARDS} shards`);
  return placed;
}

function placeTensors(
  files: readonly SafetensorsFile[],
  weightMap: ReadonlyMap<string, string>,
  folder: string,
  indexPath: string,
): ReadonlyMap<string, SafetensorsFile> {
  const placed = new Map<string, SafetensorsFile>();
  for (const file of files) {
    for (const name of file.tensors.keys()) {
      const other = placed.get(name);
      if (other !== undefined) {
        throw new CusprunError("TENSOR_DUPLICATE", {
          where: `${file.path}: tensor '${name}'`,
          found: `the same name in ${other.path}`,
          expected: "each tensor in one shard",
          remedy: "Download the model again into an empty folder",
        });
      }
      placed.set(name, file);
    }
  }
  for (const [name, shard] of weightMap) {
    const file = placed.get(name);
    if (file?.path === join(folder, shard)) continue;
    throw mismatch(
      `${indexPath}: '${name}'`,
      file === undefined ? "the tensor in no shard" : `the tensor in ${file.path}`,
      `the tensor in ${shard}`,
    );
  }
  for (const [name, file] of placed) {
    if (!weightMap.has(name))
      throw mismatch(`${file.path}: tensor '${name}'`, "no entry in the index", `an entry in ${indexPath}`);
  }
  return placed;
}

function mismatch(where: string, found: string, expected: string): CusprunError {
  const remedy = "The index and the shards belong to different models or versions; download the model again into an empty folder";
  return new CusprunError("SHARD_MISMATCH", { where, found, expected, remedy });
}

function badIndex(where: string, found: string, expected: string): CusprunError {
  return new CusprunError("SHARD_INDEX", { where, found, expected, remedy: "Download the index again" });
}

function missingShard(folder: string, shard: string, indexPath: string): CusprunError {
  return new CusprunError("SHARD_MISSING", {
    where: join(folder, shard),
    found: "no such file",
    expected: `the shard that ${indexPath} names`,
    remedy: "Download the model again; complete files are kept",
  });
}

async function noWeights(folder: string, names: readonly string[]): Promise<CusprunError> {
  const expected = `${SINGLE_FILE_NAME}, or ${INDEX_FILE_NAME} and its shards`;
  return new CusprunError("MODEL_FILE_MISSING", { where: folder, expected, ...(await describeFolder(folder, names, "weights")) });
}
