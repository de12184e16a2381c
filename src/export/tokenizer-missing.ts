/**
 * @file The error for a model without a tokenizer, if the output requires one.
 */

import { CusprunError } from "../errors.ts";

/** @param path of the model. */
export function tokenizerMissing(path: string): CusprunError {
  return new CusprunError("TOKENIZER_MISSING", {
    where: path,
    found: "no tokenizer",
    expected: "a tokenizer.json, or a GGUF file with a tokenizer",
    remedy: "Copy the model's tokenizer.json and tokenizer_config.json to the folder of its weights",
  });
}
