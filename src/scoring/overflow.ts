/**
 * @file The error for results that are not finite although all weights are.
 */

import { CusprunError } from "../errors.ts";

/**
 * The error for an activation that overflows f32.
 * @param where the model and the part of it.
 * @param source of the document, for messages; null if there are several.
 */
export function modelOverflow(where: string, found: string, source: string | null): CusprunError {
  return new CusprunError("MODEL_OVERFLOW", {
    where,
    found: source === null ? found : `${found} on the document ${source}`,
    expected: "finite numbers, as all weights are finite",
    remedy: `Leave ${source === null ? "unusual documents" : "this document"} out; if others fail too, another model is needed`,
  });
}
