/** @file Finding the model at a path, whatever its format. */

import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { locateCheckpoint, openCheckpoint } from "../../src/checkpoint/open.ts";
import type { ErrorCode } from "../../src/errors.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { errorOf } from "../support/temporary-gguf.ts";

describe("opening a model", () => {
  test("rejects a missing path, an unknown file, a safetensors file and several GGUF files", async () => {
    await withFolder(async (folder) => {
      const codeOf = async (name: string): Promise<[ErrorCode, string]> => {
        const error = await errorOf(openCheckpoint(join(folder, name)));
        return [error.code, error.message];
      };
      await writeFile(join(folder, "notes.txt"), "GGU");
      await writeFile(join(folder, "model.safetensors"), "12345678");
      await mkdir(join(folder, "ggufs"));
      for (const name of ["b.gguf", "a.gguf"]) await writeFile(join(folder, "ggufs", name), "GGUF");
      expect(await codeOf("no")).toEqual(["MODEL_NOT_FOUND", expect.stringContaining("found nothing")]);
      expect(await codeOf("notes.txt")).toEqual([
        "MODEL_NOT_FOUND",
        expect.stringMatching(/begins with the bytes 474755, not with those of a GGUF file/),
      ]);
      expect(await codeOf("model.safetensors")).toEqual([
        "MODEL_NOT_FOUND",
        expect.stringMatching(/a safetensors file by itself.*Pass its folder/),
      ]);
      expect(await codeOf("ggufs")).toEqual([
        "MODEL_NOT_FOUND",
        expect.stringMatching(/2 GGUF files: a\.gguf, b\.gguf.*Pass the path of one/),
      ]);
    });
  });

  test("names the model among GGUF files if there is only one", async () => {
    await withFolder(async (folder) => {
      for (const name of ["mmproj-F16.gguf", "model.gguf"]) await writeFile(join(folder, name), "GGUF");
      const error = await errorOf(openCheckpoint(folder));
      expect(error.message).toMatch(/2 GGUF files: mmproj-F16\.gguf, model\.gguf.*Pass .*\/model\.gguf\.$/);
    });
  });

  test.each([
    ["m.gguf.part1of2", "GGUF....", /the first piece of a file that was cut.*cat/],
    ["m.gguf.part2of2", "....", /a later piece of a file that was cut/],
    ["lfs.gguf", "version https://git-lfs.github.com/spec/v1\n", /a Git LFS pointer.*git lfs pull/],
    ["page.gguf", "\n<!doctype html>\n<html>", /an HTML page.*\/resolve\//],
    ["zip.gguf", `PK\u0003\u0004${"0".repeat(60)}`, /a zip archive.*Unpack/],
    ["torch.gguf", `PK\u0003\u0004${"0".repeat(26)}archive/data.pkl`, /a PyTorch checkpoint.*save_pretrained/],
    ["ggjt.gguf", "tjgg\u0003", /a GGJT file.*convert_hf_to_gguf\.py/],
    ["empty.gguf", "", /an empty file/],
    ["gz.gguf", "\u001f\u008b\u0008", /a gzip archive.*gunzip/],
    ["st.gguf", '\u0010\0\0\0\0\0\0\0{"a":1}        ', /a safetensors file.*model\.safetensors/],
    ["config.gguf", '{"model_type":"llama"}', /a JSON file/],
  ])("says what %s is", async (name, content, message) => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, name), content, "latin1");
      const error = await errorOf(openCheckpoint(join(folder, name)));
      expect([error.code, error.message]).toEqual(["MODEL_NOT_FOUND", expect.stringMatching(message)]);
    });
  });

  test("accepts a GGUF file with any name, or alone in a folder", async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, "sha256-0123"), "GGUF....");
      expect(await locateCheckpoint(join(folder, "sha256-0123"))).toEqual({ format: "gguf", file: join(folder, "sha256-0123") });
      await rename(join(folder, "sha256-0123"), join(folder, "m.gguf"));
      await writeFile(join(folder, "config.json"), "{}");
      expect(await locateCheckpoint(folder)).toEqual({ format: "gguf", file: join(folder, "m.gguf") });
    });
  });
});
