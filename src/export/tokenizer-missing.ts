/**
 * @file The error for a model without a tokenizer, where what is written must hold one.
 */

import { CusprunError } from "../errors.ts";

/** @param path of the model. */
export function tokenizerMissing(path: string): CusprunError {
  return new CusprunError("TOKENIZER_MISSING", {
    where: path,
    found: "no tokenizer",
    expected: "a tokenizer.json, or a GGUF file that holds its tokenizer",
    remedy: "Put the model's tokenizer.json and tokenizer_config.json beside its weights",
  });
}
