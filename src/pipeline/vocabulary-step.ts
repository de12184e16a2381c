/**
 * @file The vocabulary as a step: a checkpoint's tokenizer + the corpora → the facts that tokens are scored from.
 * Counting is cheap compared with a forward pass.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { deriveTokens, readBpe } from "../corpora/bpe.ts";
import type { Corpus } from "../corpora/corpus.ts";
import type { ReadingJob } from "../corpora/corpus-stamps.ts";
import { alwaysKeptTokens } from "../corpora/kept-tokens.ts";
import type { CorpusSpecs } from "../corpora/load.ts";
import { countTokens } from "../corpora/token-counts.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import type { VocabularyFacts } from "../scoring/token-relevance.ts";
import { mayTrim, type TrimmingOptions } from "../selection/selection-options.ts";

/**
 * The facts that tokens are scored from. Null if no token may be removed (`mayTrim`), or if the tokenizer cannot be
 * trimmed and no smaller vocabulary was requested.
 * @param moreText paths of further text that is counted.
 * @throws CusprunError the errors of `countTokens`; `TOKENIZER_UNSUPPORTED` if a smaller vocabulary was requested and
 *   the tokenizer cannot be trimmed.
 */
export async function gatherVocabulary(
  checkpoint: Checkpoint,
  specs: CorpusSpecs,
  corpora: readonly Corpus[],
  tokenizer: Tokenizer,
  choice: TrimmingOptions,
  moreText: readonly string[],
  job: ReadingJob,
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
      alwaysKept: alwaysKeptTokens(bpe, files, tokenizer, [configJson, generationConfigJson], scripts, config.vocabSize),
    };
  } catch (error) {
    if (choice.vocabulary === undefined && error instanceof CusprunError && error.code === "TOKENIZER_UNSUPPORTED") return null;
    throw error;
  }
}
