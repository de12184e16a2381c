/**
 * @file What the user calls a model → a path on this machine.
 */

import { CusprunError } from "../errors.ts";
import { CATALOG, type CatalogOptions, fetchCatalogModel, findCatalogModel } from "./hub/catalog.ts";
import { downloadModel } from "./hub/hub.ts";
import { exists } from "./hub/cache.ts";
import { parseHubModelId } from "./hub/id.ts";

/** Options of `resolveModel`: those of the catalogue, with a place of their own for downloads from the hub. */
export interface ResolveOptions extends CatalogOptions {
  /** Default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
  readonly hubCacheDir?: string;
}

/**
 * The path of a model: of what exists under that path, else of the catalogue's model of that name, else of the hub's.
 * @param model a path, a short name such as `smollm2`, or `owner/name[/file.gguf][@revision]`.
 * @returns a folder or a GGUF file.
 * @throws CusprunError `MODEL_NAME`, and what `fetchCatalogModel` and `downloadModel` throw.
 * @example
 * ```ts
 * import { resolveModel } from "cusprun";
 *
 * const path = await resolveModel("smollm2"); // downloaded once, then taken from the cache
 * const other = await resolveModel("Qwen/Qwen2.5-0.5B-Instruct"); // from the Hugging Face hub
 * console.log(path, other);
 * ```
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  if (model !== "" && (await exists(model))) return model;
  if (findCatalogModel(model) !== undefined) return fetchCatalogModel(model, options);
  if (parseHubModelId(model) !== null) {
    const { hubCacheDir, cacheDir: _, ...rest } = options;
    return downloadModel(model, hubCacheDir === undefined ? rest : { ...rest, cacheDir: hubCacheDir });
  }
  throw new CusprunError("MODEL_NAME", {
    where: "model",
    found: `${JSON.stringify(model.slice(0, 200))}, which is no path that exists`,
    expected: `a folder or GGUF file, a name (${CATALOG.map((entry) => entry.name).join(", ")}), or owner/name[/file.gguf][@revision]`,
    remedy: "Correct the path or the name",
  });
}
