/**
 * @file Fewer tokens: a tokenizer's files + the kept ids → the files with the ids renumbered in ascending order, 0, 1,
 * 2 … A text that was encoded with kept tokens alone is encoded to the same tokens; every other text is encoded without
 * loss in smaller pieces, down to single bytes.
 * Target: `tokenizer.json` and `tokenizer_config.json` as https://github.com/huggingface/tokenizers and transformers
 * read them.
 */

import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { isJsonObject, type JsonObject } from "../json.ts";

/**
 * Files next to tokenizer.json that hold neither ids nor tokens of their own. Others would contradict it and are left
 * out.
 */
const ID_FREE_FILES: readonly string[] = ["chat_template.jinja", "chat_template.json", "special_tokens_map.json"];

/** New ids by old ones. */
export type TokenIdMap = ReadonlyMap<number, number>;

/**
 * New ids of the kept tokens.
 * @param kept old ids, ascending.
 */
export function renumberTokens(kept: Iterable<number>): TokenIdMap {
  return new Map([...kept].map((id, index) => [id, index]));
}

/**
 * Trims a tokenizer. Pure.
 * @param files of a BPE tokenizer that `readBpe` accepts.
 * @param ids closed under merges: with every token, the two that it is merged from (`deriveTokens`); contains all bytes
 *   and special tokens.
 */
export function trimTokenizer(files: TokenizerFiles, ids: TokenIdMap): TokenizerFiles {
  const tokenizerJson = trimTokenizerJson(files.tokenizerJson, ids);
  const tokenizerConfig = trimTokenizerConfig(files.tokenizerConfig, ids);
  const encoder = new TextEncoder();
  return {
    tokenizerJson,
    tokenizerConfig,
    files: new Map([
      ["tokenizer.json", encoder.encode(JSON.stringify(tokenizerJson))],
      ["tokenizer_config.json", encoder.encode(`${JSON.stringify(tokenizerConfig, null, 2)}\n`)],
      ...[...files.files].filter(([name]) => ID_FREE_FILES.includes(name)),
    ]),
  };
}

function trimTokenizerJson(json: JsonObject, ids: TokenIdMap): JsonObject {
  const model = json["model"] as JsonObject;
  const vocab = Object.entries(model["vocab"] as Readonly<Record<string, number>>).flatMap(([text, id]): [string, number][] => {
    const renumbered = ids.get(id);
    return renumbered === undefined ? [] : [[text, renumbered]];
  });
  const texts = new Set(vocab.map(([text]) => text));
  const merges = (model["merges"] as readonly (string | readonly [string, string])[]).filter((merge) => {
    const [left, right] = typeof merge === "string" ? (merge.split(" ") as [string, string]) : merge;
    return texts.has(left) && texts.has(right) && texts.has(left + right);
  });
  const added = ((json["added_tokens"] ?? []) as readonly JsonObject[]).filter(({ id }) => ids.has(id as number));
  const { padding } = json;
  return {
    ...json,
    ...(isJsonObject(padding) ? { padding: { ...padding, pad_id: ids.get(padding["pad_id"] as number) ?? 0 } } : {}),
    added_tokens: added.map((token) => ({ ...token, id: ids.get(token["id"] as number) })),
    post_processor: renumberProcessor(json["post_processor"], ids),
    model: { ...model, vocab: Object.fromEntries(vocab), merges },
  };
}

/** A post-processor names the special tokens that it puts around a text by their ids. */
function renumberProcessor(processor: unknown, ids: TokenIdMap): unknown {
  if (!isJsonObject(processor)) return processor ?? null;
  const renumbered: Record<string, unknown> = { ...processor };
  if (Array.isArray(processor["processors"]))
    renumbered["processors"] = processor["processors"].map((part: unknown) => renumberProcessor(part, ids));
  if (isJsonObject(processor["special_tokens"])) {
    renumbered["special_tokens"] = Object.fromEntries(
      Object.entries(processor["special_tokens"]).map(([name, token]) => [
        name,
        { ...(token as JsonObject), ids: ((token as JsonObject)["ids"] as readonly number[]).map((id) => ids.get(id)) },
      ]),
    );
  }
  return renumbered;
}

function trimTokenizerConfig(config: JsonObject, ids: TokenIdMap): JsonObject {
  const decoder = config["added_tokens_decoder"];
  if (!isJsonObject(decoder)) return config;
  const entries = Object.entries(decoder).flatMap(([id, token]): [string, unknown][] => {
    const renumbered = ids.get(Number(id));
    return renumbered === undefined ? [] : [[String(renumbered), token]];
  });
  return { ...config, added_tokens_decoder: Object.fromEntries(entries) };
}
