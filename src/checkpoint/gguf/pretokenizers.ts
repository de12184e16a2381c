/**
 * @file How llama.cpp cuts a text into words before byte-pair merging, by the name in `tokenizer.ggml.pre`.
 *
 * Source: llama.cpp, `llm_tokenizer_bpe` and `llama_vocab::impl::load` (src/llama-vocab.cpp); the patterns are what its `unicode.cpp`
 * matches, which for `tekken` and `gpt-4o` differs from the original tokenizers in upper-case letters outside ASCII: llama.cpp is the
 * reference for a GGUF file. Each pattern is applied to the pieces that the one before it left; matches and gaps both stay.
 */

/** A row of the table. */
export interface GgufPreTokenizer {
  /** Patterns in the dialect that Oniguruma and `@huggingface/tokenizers` share, applied in turn. */
  readonly patterns: readonly string[];
  /** A word that is a token as a whole is taken as it is, whatever the merges say. */
  readonly ignoreMerges: boolean;
  /** Whether BOS is put in front where the file does not say. */
  readonly addBos: boolean;
}

const CONTRACTION = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const WORD = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const PUNCTUATION_AND_SPACE = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
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
const QWEN35 = `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/** Rules shared by several names; a row gives the names and what they share. */
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
