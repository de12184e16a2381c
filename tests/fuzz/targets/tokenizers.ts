/**
 * @file tokenizer.json and tokenizer_config.json, of every kind of tokenizer: texts are encoded and counted, documents
 * looked up in the embedding, tokens removed.
 */

import { join } from "node:path";
import { tokenizerFilesFromGguf } from "../../../src/checkpoint/gguf/tokenizer.ts";
import type { GgufMetadata, GgufValue } from "../../../src/checkpoint/gguf/values.ts";
import type { TokenizerFiles } from "../../../src/checkpoint/checkpoint.ts";
import { loadCorpora } from "../../../src/corpora/load.ts";
import { CusprunError } from "../../../src/errors.ts";
import { embedBatches } from "../../../src/model/embedding.ts";
import { makeBatches } from "../../../src/model/batches.ts";
import { openTokenizer } from "../../../src/pipeline/model.ts";
import { gatherVocabulary } from "../../../src/pipeline/vocabulary-step.ts";
import { expertTokenizerFiles } from "../../../src/surgery/expert-tokenizer.ts";
import { tinyTokenizerFiles } from "../../support/tiny-models.ts";
import { smallSentencePiece } from "../../support/trimmed-vocabularies.ts";
import { mustHold } from "../broken.ts";
import type { Base, Target } from "../target.ts";
import { withCheckpoint } from "./checkpoints.ts";
import { json, mutateJsonFile, safetensorsOf, SMALL_SIZES, SMALL_TEXT, smallFiles, smallModel } from "./small-models.ts";

const V = SMALL_SIZES.vocabSize;
const CORPUS = "corpus.jsonl";
const SPECIAL = { id: 0, content: "<unk>", single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const BARE = { version: "1.0", truncation: null, padding: null, normalizer: null, post_processor: null, decoder: null };

/** Kinds of tokenizer other than byte-level BPE and SentencePiece's BPE. */
const OTHERS: Readonly<Record<string, object>> = {
  unigram: {
    ...BARE,
    added_tokens: [SPECIAL],
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    model: {
      type: "Unigram",
      unk_id: 0,
      byte_fallback: false,
      vocab: [
        ["<unk>", 0],
        ["▁", -1],
        ["a", -2],
        ["b", -2.5],
        ["c", -3],
        ["▁abc", -1.5],
        ["d", -4],
        ["e", -4],
        ["ee", -3],
      ],
    },
  },
  words: tinyTokenizerFiles(V).tokenizerJson,
};

/** GPT-2's characters for bytes: printable ones stand for themselves, the others are counted from U+0100. */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}

function byteLevel(): TokenizerFiles {
  const metadata: GgufMetadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "llama-bpe"],
    ["tokenizer.ggml.tokens", ["<s>", ...byteCharacters(), "ab", "abc", "Ġa", "Ġabc"]],
    ["tokenizer.ggml.token_type", Int32Array.from({ length: 261 }, (_, id) => (id === 0 ? 3 : 1))],
    ["tokenizer.ggml.merges", ["a b", "ab c", "Ġ a", "Ġ abc"]],
    ["tokenizer.ggml.bos_token_id", 0],
    ["tokenizer.ggml.eos_token_id", 0],
  ]);
  return tokenizerFilesFromGguf(metadata, "model.gguf");
}

/** The tokenizer of a small model. */
export const tokenizer: Target = {
  name: "tokenizer",
  weight: 2,
  bases: async () => {
    const model = smallModel("llama");
    const shared: [string, Buffer][] = [...smallFiles(model), ["model.safetensors", safetensorsOf(model)]];
    const kinds: Readonly<Record<string, Pick<TokenizerFiles, "tokenizerJson" | "tokenizerConfig">>> = {
      pieces: smallSentencePiece(),
      bytes: byteLevel(),
      ...Object.fromEntries(
        Object.entries(OTHERS).map(([name, tokenizerJson]) => [name, { tokenizerJson, tokenizerConfig: { unk_token: "<unk>" } }]),
      ),
    };
    return Object.entries(kinds).map(([name, { tokenizerJson, tokenizerConfig }]): Base => {
      const files = new Map([
        ...shared,
        ["tokenizer.json", json(tokenizerJson)],
        ["tokenizer_config.json", json(tokenizerConfig)],
        [CORPUS, Buffer.from(Array.from({ length: 8 }, (_, n) => `{"text":"${SMALL_TEXT} ${"abc ".repeat(n)}"}\n`).join(""))],
      ]);
      return { name, files, changed: ["tokenizer.json", "tokenizer.json", "tokenizer_config.json"] };
    });
  },
  mutate: (_, contents, random) => mutateJsonFile(contents, random),
  run: (folder) =>
    withCheckpoint(folder, async (checkpoint) => {
      const opened = await openTokenizer(checkpoint);
      opened.decode(opened.encode(`${SMALL_TEXT} <unk> 😀 \ud800 \u0000`));
      const specs = { language: [join(folder, CORPUS)] };
      const corpora = await loadCorpora(specs, opened, { documents: 4, heldOutDocuments: 1, maxTokens: 64 });
      const documents = corpora.flatMap(({ calibration, heldOut }) => [...calibration, ...heldOut]);
      for (const { tokens } of documents) {
        mustHold(
          tokens.every((id) => id >= 0 && id < V),
          `every id of a document is a row of the embedding, not ${tokens.find((id) => id < 0 || id >= V)}`,
        );
      }
      const states = await embedBatches(checkpoint, makeBatches(documents, 512), false, {});
      await states.close();
      await gatherVocabulary(checkpoint, specs, corpora, opened, { layout: "uniform", budget: "20%" }, [], {});
      // Only BPE can be trimmed.
      await expertTokenizerFiles(checkpoint, { vocabulary: { size: V, removed: [276] } }).catch((error: unknown) => {
        if (!(error instanceof CusprunError) || error.code !== "TOKENIZER_UNSUPPORTED") throw error;
      });
    }),
};
