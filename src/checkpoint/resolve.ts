/**
 * @file The user's name for a model → a local path.
 */

import { CusprunError } from "../errors.ts";
import { CATALOG, type CatalogOptions, fetchCatalogModel, findCatalogModel } from "./hub/catalog.ts";
import { downloadModel } from "./hub/hub.ts";
import { exists } from "./hub/cache.ts";
import { parseHubModelId } from "./hub/id.ts";

/** Options of `resolveModel`: those of the catalogue, and a separate folder for downloads from the hub. */
export interface ResolveOptions extends CatalogOptions {
  /** Default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
  readonly hubCacheDir?: string;
}

/**
 * Resolves a model to a path: an existing path, else a model of the catalogue, else a model on the hub.
 * @param model a path, a short name such as `smollm2`, or `owner/name[/file.gguf][@revision]`.
 * @returns a folder or a GGUF file.
 * @throws CusprunError `MODEL_NAME`, and what `fetchCatalogModel` and `downloadModel` throw.
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  if (model !== "" && (await exists(model))) return model;
  if (findCatalogModel(model) !== undefined) return fetchCatalogModel(model, options);
  if (parseHubModelId(model) !== null) {
    const { hubCacheDir, cacheDir: _, ...rest } = options;
    return downloadModel(model, hubCacheDir === undefined ? rest : { ...rest, cacheDir: hubCacheDir });
  }
  const names = CATALOG.map((entry) => entry.name).join(", ");
  throw new CusprunError("MODEL_NAME", {
    where: "model",
    found: `${JSON.stringify(model.slice(0, 200))}, which does not exist`,
    expected: `a folder or GGUF file, a short name (${names}), or owner/name[/file.gguf][@revision]`,
    remedy: "Correct the path or the name",
  });
}
