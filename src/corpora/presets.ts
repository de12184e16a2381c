/**
 * @file The corpora packaged with cusprun: `presets/{dimension}/{name}.jsonl` (see presets/README.md).
 */

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Dimension } from "./corpus.ts";

const EXTENSION = ".jsonl";

/** The package's presets folder; the path is the same from `src/corpora` and `dist/corpora`. */
const PRESETS_FOLDER = new URL("../../presets/", import.meta.url);

/** Names of a dimension's presets, sorted, e.g. `de`, `en`, … for `language`. */
export function presetNames(dimension: Dimension): readonly string[] {
  return readdirSync(new URL(`${dimension}/`, PRESETS_FOLDER))
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => file.slice(0, -EXTENSION.length))
    .toSorted();
}

/** Path of a preset's file. The name must be one of `presetNames(dimension)`. */
export function presetPath(dimension: Dimension, name: string): string {
  return fileURLToPath(new URL(`${dimension}/${name}${EXTENSION}`, PRESETS_FOLDER));
}

/** Path of the general mix, which is not a preset of any dimension. */
export const GENERAL_PRESET_PATH: string = fileURLToPath(new URL(`general${EXTENSION}`, PRESETS_FOLDER));
