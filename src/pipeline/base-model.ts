/**
 * @file What a model card says of the model that an expert was made from: its name, its id on the hub, its licence.
 */

import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { findCatalogModel } from "../checkpoint/hub/catalog.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { parseHubModelId } from "../checkpoint/hub/id.ts";
import { readBaseLicense } from "../export/base-license.ts";

/** The base model, for readers. */
export interface BaseModel {
  readonly name: string;
  /** `owner/name`, or null where the model is not named by a hub id. */
  readonly hubId: string | null;
  /** Licence identifier, or null where none is known. */
  readonly license: string | null;
}

/** The hub's licence identifiers are single lower-case words; terms that are a sentence are no identifier. */
const LICENSE_IDENTIFIER = /^[a-z0-9][a-z0-9.+-]*$/;

/**
 * Describes the base model.
 * @param model what the user called it.
 */
export async function describeBaseModel(model: string, checkpoint: Checkpoint): Promise<BaseModel> {
  const known = findCatalogModel(model);
  const isFolder = (await stat(checkpoint.path)).isDirectory();
  const license =
    (await readBaseLicense(isFolder ? checkpoint.path : dirname(checkpoint.path))) ?? known?.license.toLowerCase() ?? null;
  // A path that exists is a path, even where it reads like an id.
  const id = known === undefined && (await stat(model).catch(() => null)) === null ? parseHubModelId(model) : null;
  return {
    name: known?.title ?? model,
    hubId: known?.hubId ?? id?.repo ?? null,
    license: license !== null && LICENSE_IDENTIFIER.test(license) ? license : null,
  };
}
