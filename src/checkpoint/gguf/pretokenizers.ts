/**
 * @file How llama.cpp splits a text into words before byte-pair merging, by the name in `tokenizer.ggml.pre`.
 *
 * Source: llama.cpp, `llm_tokenizer_bpe` and `llama_vocab::impl::load` (src/llama-vocab.cpp). The patterns are those
 * that its `unicode.cpp` matches. For `tekken` and `gpt-4o`, these differ from the original tokenizers in upper-case
 * letters outside ASCII: llama.cpp is the reference for a GGUF file. Each pattern is applied to the pieces that the
 * previous one left; matches and gaps are both kept.
 */

/** How a text is split, for one or several names. */
export interface GgufPreTokenizer {
  /** Patterns in the regex syntax that Oniguruma and `@huggingface/tokenizers` share, applied in order. */
  readonly patterns: readonly string[];
  /** Whether a word that is itself a token is used whole, regardless of the merges. */
  readonly ignoreMerges: boolean;
  /** Whether BOS is prepended if the file does not say. */
  readonly addBos: boolean;
}

const CONTRACTION = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const WORD = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const PUNCTUATION_AND_SPACE = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const MARKED_WORD = "[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+";
const MARKED_PUNCTUATION_AND_SPACE = " ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const NOT_LOWER = "(?:(?=\\p{L})[^a-z])";
const NOT_UPPER = "(?:(?=\\p{L})[^A-Z])";
const CASED_WORD = `[^\\r\\n\\p{L}\\p{N}]?${NOT_LOWER}*${NOT_UPPER}+`;
const UPPER_WORD = `[^\\r\\n\\p{L}\\p{N}]?${NOT_LOWER}+${NOT_UPPER}*`;
const PATHS_AND_SPACE = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const LLAMA3 = `${CONTRACTION}|${WORD}|\\p{N}{1,3}|${PUNCTUATION_AND_SPACE}`;
const QWEN2 = `${CONTRACTION}|${WORD}|\\p{N}|${PUNCTUATION_AND_SPACE}`;
const TEKKEN = `${CASED_WORD}|${UPPER_WORD}|\\p{N}|${PATHS_AND_SPACE}`;
const GPT4O = `${CASED_WORD}${CONTRACTION}?|${UPPER_WORD}${CONTRACTION}?|\\p{N}{1,3}|${PATHS_AND_SPACE}`;
const QWEN35 = `${CONTRACTION}|${MARKED_WORD}|\\p{N}|${MARKED_PUNCTUATION_AND_SPACE}`;

/** Each row has the names that share its rules. */
const ROWS: readonly (GgufPreTokenizer & { readonly names: readonly string[] })[] = [
  {
    names: ["default"],
    patterns: ["[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"],
    ignoreMerges: false,
    addBos: false,
  },
  {
    names: ["gpt-2", "phi-2", "mpt", "olmo", "exaone4", "mellum", "gigachat", "trillion"],
    patterns: [GPT2],
    ignoreMerges: false,
    addBos: false,
  },
  {
    names: ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
    patterns: ["\\p{N}", GPT2],
    ignoreMerges: false,
    addBos: false,
  },
  { names: ["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"], patterns: [LLAMA3], ignoreMerges: true, addBos: true },
  { names: ["dbrx", "smaug-bpe"], patterns: [LLAMA3], ignoreMerges: false, addBos: false },
  {
    names: ["qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez"],
    patterns: [QWEN2],
    ignoreMerges: false,
    addBos: false,
  },
  { names: ["qwen35"], patterns: [QWEN35], ignoreMerges: false, addBos: false },
  { names: ["tekken"], patterns: [TEKKEN], ignoreMerges: true, addBos: true },
  { names: ["gpt-4o", "llama4"], patterns: [GPT4O], ignoreMerges: false, addBos: false },
];

/** The pre-tokenizers that cusprun knows, by the name in `tokenizer.ggml.pre`. */
export const GGUF_PRETOKENIZERS: ReadonlyMap<string, GgufPreTokenizer> = new Map(
  ROWS.flatMap(({ names, ...preTokenizer }) => names.map((name) => [name, preTokenizer] as const)),
);
