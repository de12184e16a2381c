/**
 * @file The real models of the tests: GGUF files in the user's cache. Cusprun's own catalog downloads those that are
 * missing.
 */

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { cusprunCacheDir, fetchCatalogModel } from "../../src/checkpoint/hub/catalog.ts";

/** Names of the real models in the catalog. */
export const REAL_MODELS = ["smollm2", "qwen2", "gemma3"] as const;

/** A real model. */
export type RealModelName = (typeof REAL_MODELS)[number];

const FILES: Readonly<Record<RealModelName, string>> = {
  smollm2: "smollm2-135m-instruct-q4_1.gguf",
  qwen2: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
  gemma3: "gemma-3-270m-q4_k_m.gguf",
};

/** No hub answers here: the goldens are of the GGUF files, which the packages contain, not of the hub's originals. */
const NO_HUB = "http://127.0.0.1:9";

const fetching = new Map<RealModelName, Promise<string>>();

/** Path of a real model's GGUF file. The first call may download it. */
export async function realModel(name: RealModelName): Promise<string> {
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  const folders = [join(cusprunCacheDir(), "models"), join(cache, "cusprun-models")];
  const found = folders.map((folder) => join(folder, FILES[name])).find((path) => existsSync(path));
  if (found !== undefined) return found;
  let path = fetching.get(name);
  if (path === undefined) {
    path = fetchCatalogModel(name, { endpoint: NO_HUB });
    fetching.set(name, path);
  }
  return path;
}
