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
        expect.stringContaining("does not start with the GGUF magic"),
      ]);
      expect(await codeOf("model.safetensors")).toEqual([
        "MODEL_NOT_FOUND",
        expect.stringMatching(/a safetensors file by itself.*Pass the model's folder/),
      ]);
      expect(await codeOf("ggufs")).toEqual([
        "MODEL_NOT_FOUND",
        expect.stringMatching(/2 GGUF files: a\.gguf, b\.gguf.*Pass the path of one/),
      ]);
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
