/**
 * @file Recognises an expert that a version before the list of files wrote.
 */

import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { RAGGED_MODULE } from "../checkpoint/config/hf-ragged.ts";
import { TOKENIZER_FILE_NAMES } from "../checkpoint/safetensors/open-safetensors.ts";
import { INDEX_FILE_NAME, SINGLE_FILE_NAME } from "../checkpoint/safetensors/write.ts";

/** File name of the plan in an expert's folder. */
export const PLAN_FILE_NAME = "cusprun-plan.json";

/** File name of the model card, by the hub's convention. */
export const CARD_FILE_NAME = "README.md";

/** How the plan of such an expert begins, and the tag in its card's header. */
const PLAN_START = /^\{\s*"formatVersion"\s*:\s*\d+\s*,/;
const CARD_TAG = /^---\n(?:(?!---).*\n)*?tags:\n(?: *- .*\n)*? *- cusprun\n/;

const SHARD_NAME = /^model-\d{5}-of-\d{5}\.safetensors$/;
const OTHER_NAMES: ReadonlySet<string> = new Set([
  PLAN_FILE_NAME,
  CARD_FILE_NAME,
  SINGLE_FILE_NAME,
  INDEX_FILE_NAME,
  "config.json",
  "generation_config.json",
  `${RAGGED_MODULE}.py`,
  ...TOKENIZER_FILE_NAMES,
]);

/**
 * Whether a folder is such an expert: with a plan, a card that says so, and no file of another name than it would have.
 * Those with an ONNX part are not recognised: a folder in a folder may hold anything.
 */
export async function isUnlistedExpert(folder: string): Promise<boolean> {
  const own = new Set([`${basename(folder)}.gguf`, `${basename(folder)}.Modelfile`]);
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const isOurs = (name: string): boolean => OTHER_NAMES.has(name) || own.has(name) || SHARD_NAME.test(name);
    return (
      entries.every((entry) => entry.isFile() && isOurs(entry.name)) &&
      PLAN_START.test(await readFile(join(folder, PLAN_FILE_NAME), "utf8")) &&
      CARD_TAG.test(await readFile(join(folder, CARD_FILE_NAME), "utf8"))
    );
  } catch {
    return false;
  }
}
