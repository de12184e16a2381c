/**
 * @file The tokenizer of an expert: the checkpoint's own, or one without the tokens that the plan removes. A plan is
 * untrusted, so the kept tokens are checked to be a vocabulary that can write every text.
 */

import type { Checkpoint, TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { type BpeModel, deriveTokens, readBpe } from "../corpora/bpe.ts";
import { alwaysKeptTokens } from "../corpora/kept-tokens.ts";
import { createTokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import { keptTokens, type PlannedCut } from "../selection/plan.ts";
import { renumberTokens, type TokenIdMap, trimTokenizer } from "./trim-tokenizer.ts";

/** New ids of the kept tokens, by old ones, for data that was tokenised before; null if the plan removes no tokens. */
export function plannedTokenIds({ vocabulary }: Pick<PlannedCut, "vocabulary">): TokenIdMap | null {
  return vocabulary === undefined ? null : renumberTokens(keptTokens(vocabulary));
}

/**
 * The expert's tokenizer files, or null if the checkpoint has none.
 * @throws CusprunError `PLAN_MISMATCH` if the plan removes tokens that other tokens or the model itself need;
 *   `TOKENIZER_UNSUPPORTED` for a tokenizer that cannot be trimmed; the errors of reading the tokenizer.
 */
export async function expertTokenizerFiles(
  checkpoint: Checkpoint,
  plan: Pick<PlannedCut, "vocabulary">,
): Promise<TokenizerFiles | null> {
  const files = await checkpoint.readTokenizerFiles();
  const ids = plannedTokenIds(plan);
  if (files === null || ids === null) return files;
  const { config, configJson, generationConfigJson, path } = checkpoint;
  const { vocabSize } = config;
  const bpe = readBpe(files, vocabSize, path);
  const needed = alwaysKeptTokens(
    bpe,
    files,
    createTokenizer(files, path, vocabSize),
    [configJson, generationConfigJson],
    [],
    vocabSize,
  );
  for (const id of needed)
    if (!ids.has(id)) throw missing(bpe, id, "every byte, special token, ASCII character and word of the chat template");
  for (const [id, pair] of deriveTokens(bpe)) {
    const part = ids.has(id) ? pair.find((candidate) => !ids.has(candidate)) : undefined;
    if (part !== undefined) throw missing(bpe, part, `the two parts that token ${id} is merged from`);
  }
  return trimTokenizer(files, ids);
}

function missing(bpe: BpeModel, id: number, expected: string): CusprunError {
  const text =
    [...bpe.vocab].find(([, candidate]) => candidate === id)?.[0] ?? bpe.added.find((token) => token.id === id)?.text ?? "";
  return new CusprunError("PLAN_MISMATCH", {
    where: "plan: vocabulary",
    found: `token ${id} ${JSON.stringify(text)} removed`,
    expected: `${expected} among the kept tokens`,
    remedy: "Use the plan with the model it was made for, or select again",
  });
}
