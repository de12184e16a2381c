/**
 * @file Token ids in config.json and generation_config.json: renumbered, left out by name, ignored for padding, refused
 * if a text needs them.
 */

import { describe, expect, test } from "vitest";
import {
  checkNeededTokenIds,
  configTokenIds,
  renumberConfig,
  withPaddingToken,
} from "../../../src/checkpoint/config/token-ids.ts";

/** Token 3 is removed. */
const newId = (id: number): number | undefined =>
  new Map([
    [0, 0],
    [1, 1],
    [2, 2],
    [4, 3],
    [5, 4],
  ]).get(id);

describe("renumberConfig", () => {
  test("follows ids in every form that transformers has", () => {
    const config = {
      vocab_size: 6,
      bos_token_id: 1,
      eos_token_id: [2, 5],
      pad_token_id: 4,
      suppress_tokens: [4, 5],
      begin_suppress_tokens: null,
      bad_words_ids: [[4], [5, 0]],
      force_words_ids: [[[4, 5], [1]]],
      forced_decoder_ids: [[7, 4]],
      sequence_bias: [[[4, 5], -10.5]],
      max_length: 4,
      stop_strings: ["5"],
    };
    expect(renumberConfig(config, newId)).toEqual({
      json: {
        vocab_size: 6,
        bos_token_id: 1,
        eos_token_id: [2, 4],
        pad_token_id: 3,
        suppress_tokens: [3, 4],
        begin_suppress_tokens: null,
        bad_words_ids: [[3], [4, 0]],
        force_words_ids: [[[3, 4], [1]]],
        forced_decoder_ids: [[7, 3]],
        sequence_bias: [[[3, 4], -10.5]],
        max_length: 4,
        stop_strings: ["5"],
      },
      leftOut: [],
    });
    expect([...configTokenIds(config, 5)]).toEqual([1, 2, 4, 4, 4, 0, 4, 1, 4, 4]);
  });

  test.for<[string, unknown]>([
    ["suppress_tokens", [3, 4]],
    ["bad_words_ids", [[4, 3]]],
    ["image_token_id", 70_000],
    ["sequence_bias", { "4": 1 }],
    ["forced_decoder_ids", [[1, 3]]],
    ["begin_suppress_tokens", [1.5]],
    ["decoder_start_token_id", "1"],
    ["bad_words_ids", [[-1]]],
  ])("leaves out %s if a token of it has no new id", ([key, value]) => {
    expect(renumberConfig({ [key]: value, use_cache: true }, newId)).toEqual({ json: { use_cache: true }, leftOut: [key] });
  });

  test.for([-1, 3, 4_294_967_295, 1e300, "x"])("padding with %s becomes null", (id) => {
    expect(renumberConfig({ pad_token_id: id }, newId)).toEqual({ json: { pad_token_id: null }, leftOut: [] });
  });
});

test("without removed tokens, only padding that is no token becomes null", () => {
  expect(withPaddingToken({ pad_token_id: 6, eos_token_id: 2 }, 6)).toEqual({ pad_token_id: null, eos_token_id: 2 });
  for (const config of [{ pad_token_id: 5 }, { pad_token_id: null }, {}]) expect(withPaddingToken(config, 6)).toBe(config);
});

describe("checkNeededTokenIds", () => {
  test.for<[string, unknown]>([
    ["eos_token_id", 6],
    ["eos_token_id", [2, 9]],
    ["bos_token_id", -1],
    ["bos_token_id", 1.5],
    ["forced_eos_token_id", "2"],
  ])("refuses %s %j", ([key, value]) => {
    expect(() => checkNeededTokenIds({ [key]: value }, 6, "m/generation_config.json")).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(`m/generation_config.json: ${key}`) }),
    );
  });

  test("accepts ids of tokens, null, and any padding", () => {
    expect(() => checkNeededTokenIds({ eos_token_id: [2, 5], bos_token_id: null, pad_token_id: -1 }, 6, "m")).not.toThrow();
  });
});
