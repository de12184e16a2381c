/**
 * @file The base model of an expert, for its card: name, id on the hub, licence.
 */

import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { exists } from "../folders.ts";
import { findCatalogModel } from "../checkpoint/hub/catalog.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { parseHubModelId } from "../checkpoint/hub/id.ts";
import { readBaseLicense } from "../export/base-license.ts";

/** The base model, as a card describes it. */
export interface BaseModel {
  readonly name: string;
  /** `owner/name`, or null if the model is not named by a hub id. */
  readonly hubId: string | null;
  /** Licence identifier, or null if none is known. */
  readonly license: string | null;
}

/** The hub's licence identifiers are single lower-case words; a sentence is not an identifier. */
const LICENSE_IDENTIFIER = /^[a-z0-9][a-z0-9.+-]*$/;

/**
 * Describes the base model.
 * @param model its name as the user wrote it.
 */
export async function describeBaseModel(model: string, checkpoint: Checkpoint): Promise<BaseModel> {
  const known = findCatalogModel(model);
  const isFolder = (await stat(checkpoint.path)).isDirectory();
  const license =
    (await readBaseLicense(isFolder ? checkpoint.path : dirname(checkpoint.path))) ?? known?.license.toLowerCase() ?? null;
  // A path that exists is a path, even if it looks like an id.
  const id = known === undefined && !(await exists(model)) ? parseHubModelId(model) : null;
  return {
    name: known?.title ?? model,
    hubId: known?.hubId ?? id?.repo ?? null,
    license: license !== null && LICENSE_IDENTIFIER.test(license) ? license : null,
  };
}
