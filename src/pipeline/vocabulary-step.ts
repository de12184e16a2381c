/**
 * @file The vocabulary as a step: a checkpoint's tokenizer + the corpora → what tokens are scored from. Counting is cheap beside a forward pass.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { deriveTokens, readBpe } from "../corpora/bpe.ts";
import type { Corpus } from "../corpora/corpus.ts";
import { alwaysKeptTokens } from "../corpora/kept-tokens.ts";
import type { CorpusSpecs } from "../corpora/load.ts";
import { countTokens } from "../corpora/token-counts.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import type { VocabularyFacts } from "../scoring/token-relevance.ts";
import { parseBudget } from "../selection/budget.ts";
import type { SelectionChoice } from "./selection-step.ts";

/** What a user decides about the vocabulary. */
export type VocabularyOptions = Pick<SelectionChoice, "budget" | "layout" | "granularity" | "vocabulary">;

/**
 * What tokens are scored from; null where none may go: by choice, in a layout that keeps its sizes, under a budget of the blocks alone, or because the
 * tokenizer cannot be taken apart and nobody asked for a smaller vocabulary.
 * @param moreText paths of further text that is counted.
 * @throws CusprunError what `countTokens` throws; `TOKENIZER_UNSUPPORTED` where a smaller vocabulary was asked for.
 */
export async function gatherVocabulary(
  checkpoint: Checkpoint,
  specs: CorpusSpecs,
  corpora: readonly Corpus[],
  tokenizer: Tokenizer,
  choice: VocabularyOptions,
  moreText: readonly string[],
  job: JobOptions,
): Promise<VocabularyFacts | null> {
  if (!mayTrim(choice)) return null;
  const files = (await checkpoint.readTokenizerFiles())!;
  const { config, configJson, generationConfigJson, path } = checkpoint;
  try {
    const bpe = readBpe(files, config.vocabSize, path);
    const { counts, scripts } = await countTokens(specs, tokenizer, { ...job, vocabSize: config.vocabSize, corpora, moreText });
    return {
      counts,
      derivations: deriveTokens(bpe),
      alwaysKept: alwaysKeptTokens(bpe, files, tokenizer, [configJson, generationConfigJson], scripts),
    };
  } catch (error) {
    if (choice.vocabulary === undefined && error instanceof CusprunError && error.code === "TOKENIZER_UNSUPPORTED") return null;
    throw error;
  }
}

/** Whether a choice lets tokens go. */
export function mayTrim({ budget, layout, granularity, vocabulary }: VocabularyOptions): boolean {
  if (vocabulary !== undefined) return vocabulary !== "keep";
  const parsed = parseBudget(budget);
  return layout !== "masked" && granularity !== "matrix" && !(parsed.kind === "share" && parsed.of === "blocks");
}
