/**
 * @file The user's name for a model → a local path.
 */

import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";
import { statPath } from "../regular-files.ts";
import { CATALOG, type CatalogOptions, fetchCatalogModel, findCatalogModel } from "./hub/catalog.ts";
import { downloadModel } from "./hub/hub.ts";
import { parseHubModelId } from "./hub/id.ts";
import { nearPath } from "./near-paths.ts";

/** Options of `resolveModel`: those of the catalogue, and a separate folder for downloads from the hub. */
export interface ResolveOptions extends CatalogOptions {
  /** Default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
  readonly hubCacheDir?: string;
}

/**
 * Resolves a model to a path: an existing path, else a model of the catalogue, else a model on the hub.
 * @param model a path, a short name such as `smollm2`, or `owner/name[/file.gguf][@revision]`.
 * @returns a folder or a GGUF file.
 * @throws CusprunError `MODEL_NAME`, `MODEL_NOT_FOUND` for a path that cannot be looked at, and the errors of
 * `fetchCatalogModel` and `downloadModel`.
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
  // An unreadable path is a path too: opening it says what is wrong.
  if (model !== "" && (await statPath(model, "MODEL_NOT_FOUND", "a model")) !== null) return model;
  if (findCatalogModel(model) !== undefined) return fetchCatalogModel(model, options);
  const id = parseHubModelId(model);
  const near = model === "" ? null : await nearPath(model);
  if (id !== null && (near === null || id.revision !== null)) return resolveHubModel(model, options);
  const names = CATALOG.map((entry) => entry.name).join(", ");
  const forHub = id === null ? "" : `, or ${model}@main for the model on the hub`;
  throw new CusprunError("MODEL_NAME", {
    where: "model",
    found: `${showValue(model)}, which does not exist`,
    expected: `a folder or GGUF file, a short name (${names}), or owner/name[/file.gguf][@revision]`,
    remedy: near === null ? "Correct the path or the name" : `Did you mean ${near}? Pass it${forHub}`,
  });
}

/** A model on the hub. If it is not there, the name may have been meant as a path. */
async function resolveHubModel(model: string, options: ResolveOptions): Promise<string> {
  const { hubCacheDir, cacheDir: _, ...rest } = options;
  try {
    return await downloadModel(model, hubCacheDir === undefined ? rest : { ...rest, cacheDir: hubCacheDir });
  } catch (error) {
    if (!(error instanceof CusprunError) || !(error.code === "HUB_NOT_FOUND" || error.code === "HUB_UNREACHABLE")) throw error;
    const { found, ...parts } = error.parts;
    throw new CusprunError(
      error.code,
      { ...parts, found: `${found}; and no file or folder of this name here` },
      { cause: error },
    );
  }
}
