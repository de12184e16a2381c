/**
 * @file The tokenizer of an expert: the checkpoint's own, or where the plan takes tokens out, one without them. A plan is untrusted, so what it leaves is checked to
 * be a vocabulary that can write every text.
 */

import type { Checkpoint, TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { type BpeModel, deriveTokens, readBpe } from "../corpora/bpe.ts";
import { alwaysKeptTokens } from "../corpora/kept-tokens.ts";
import { createTokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import { keptTokens, type PrunePlan } from "../selection/plan.ts";
import { renumberTokens, type TokenIdMap, trimTokenizer } from "./trim-tokenizer.ts";

/** New ids of the tokens that a plan leaves, by old ones, for data that was tokenised before; null where it takes none out. */
export function plannedTokenIds({ vocabulary }: PrunePlan): TokenIdMap | null {
  return vocabulary === undefined ? null : renumberTokens(keptTokens(vocabulary));
}

/**
 * The expert's tokenizer files, or null where the checkpoint has none.
 * @throws CusprunError `PLAN_MISMATCH` where the plan takes out tokens that others or the model itself need; `TOKENIZER_UNSUPPORTED` for a tokenizer that cannot be
 *   taken apart; what reading the tokenizer throws.
 */
export async function expertTokenizerFiles(checkpoint: Checkpoint, plan: PrunePlan): Promise<TokenizerFiles | null> {
  const files = await checkpoint.readTokenizerFiles();
  const ids = plannedTokenIds(plan);
  if (files === null || ids === null) return files;
  const { config, configJson, generationConfigJson, path } = checkpoint;
  const bpe = readBpe(files, config.vocabSize, path);
  const needed = alwaysKeptTokens(bpe, files, createTokenizer(files, path), [configJson, generationConfigJson], []);
  for (const id of needed)
    if (!ids.has(id)) throw missing(bpe, id, "every byte, special token, ASCII character and word of the chat template");
  for (const [id, pair] of deriveTokens(bpe)) {
    const part = ids.has(id) ? pair.find((candidate) => !ids.has(candidate)) : undefined;
    if (part !== undefined) throw missing(bpe, part, `what token ${id} is merged from`);
  }
  return trimTokenizer(files, ids);
}

function missing(bpe: BpeModel, id: number, expected: string): CusprunError {
  const text =
    [...bpe.vocab].find(([, candidate]) => candidate === id)?.[0] ?? bpe.added.find((token) => token.id === id)?.text ?? "";
  return new CusprunError("PLAN_MISMATCH", {
    where: "plan: vocabulary",
    found: `token ${id} ${JSON.stringify(text)} removed`,
    expected: `${expected} among those that stay`,
    remedy: "Use the plan with the model it was made for, or select again",
  });
}
