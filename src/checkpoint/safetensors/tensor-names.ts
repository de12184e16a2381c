/**
 * @file Tensor names in a folder's files → those of the family's text model. Files differ in prefixes if the text model
 * is part of a larger model, or was saved without its output head.
 */

import { CusprunError } from "../../errors.ts";
import type { Family, FamilyWrapper } from "../../families/family.ts";
import { modelTensorName, nameWithBasePrefix } from "../../families/index.ts";

/** Tensors in old files that are computed from the config. */
const COMPUTED_TENSORS = /\.rotary_emb\.inv_freq$/;

/** The tensors of a text model in a folder. */
export interface TextTensorNames {
  /** The family's name of a tensor → its name in the file, in the order of the files. */
  readonly stored: ReadonlyMap<string, string>;
  /** Names in the files of tensors of other parts, e.g. of an image encoder. */
  readonly leftOut: readonly string[];
  /** The names lack the family's `basePrefix`: the model was saved without its output head. */
  readonly isBare: boolean;
}

/**
 * Finds the text model's tensors. Unknown names are kept, since the check of all tensors refuses them.
 * @param names all names in the files.
 * @param wrapper the model that contains the text model, or null.
 * @param folder for error messages.
 * @throws CusprunError `TENSOR_DUPLICATE` if two tensors stand for the same one.
 */
export function findTextTensors(
  names: Iterable<string>,
  family: Family,
  wrapper: FamilyWrapper | null,
  folder: string,
): TextTensorNames {
  const stored = new Map<string, string>();
  const leftOut: string[] = [];
  for (const name of names) {
    if (COMPUTED_TENSORS.test(name)) continue;
    const own = wrapper === null ? nameWithBasePrefix(family, name) : unwrappedName(wrapper, name);
    if (own === null) {
      leftOut.push(name);
      continue;
    }
    const other = stored.get(own);
    if (other !== undefined) {
      throw new CusprunError("TENSOR_DUPLICATE", {
        where: `${folder}: tensor '${name}'`,
        found: `the same tensor as '${other}'`,
        expected: "each tensor once",
        remedy: "Download the model again into an empty folder",
      });
    }
    stored.set(own, name);
  }
  const embedding = modelTensorName(family, "embedding");
  return { stored, leftOut, isBare: wrapper === null && stored.has(embedding) && stored.get(embedding) !== embedding };
}

/** The family's name of a wrapped model's tensor; null for a tensor of another part. */
function unwrappedName({ textPrefixes, otherPrefixes }: FamilyWrapper, name: string): string | null {
  const text = textPrefixes.find(([prefix]) => name.startsWith(prefix));
  if (text !== undefined) return text[1] + name.slice(text[0].length);
  return otherPrefixes.some((prefix) => name.startsWith(prefix)) ? null : name;
}
