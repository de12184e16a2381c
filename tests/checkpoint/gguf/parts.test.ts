/**
 * @file GGUF models in several parts: opened by any part, and every way in which parts do not belong together.
 */

import { copyFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import { describeModel } from "../../../src/checkpoint/inspect.ts";
import { locateCheckpoint, openCheckpoint } from "../../../src/checkpoint/open.ts";
import { ggufOfTinyModel, type TypedValue, writeGguf } from "../../support/gguf-writer.ts";
import { withFolder } from "../../support/temporary-folder.ts";
import { errorOf } from "../../support/temporary-gguf.ts";
import { tinyModel } from "../../support/tiny-models.ts";

const MODEL = tinyModel("llama");
const COUNT = 3;

type Keys = Readonly<Record<string, TypedValue>>;

const nameOf = (number: number, count = COUNT): string => `tiny-0000${number}-of-${String(count).padStart(5, "0")}.gguf`;

/** Writes the parts as llama-gguf-split does: only the first has the model's keys. */
async function writeParts(folder: string, change: (number: number) => Keys = () => ({}), model = MODEL): Promise<void> {
  const { metadata, tensors } = ggufOfTinyModel(model);
  const size = Math.ceil(tensors.length / COUNT);
  for (let i = 0; i < COUNT; i++) {
    const keys: Record<string, TypedValue> = {
      "split.no": ["uint16", i],
      "split.count": ["uint16", COUNT],
      "split.tensors.count": ["int32", tensors.length],
      ...change(i + 1),
    };
    const pairs = [...(i === 0 ? metadata : []), ...Object.entries(keys)];
    await writeFile(
      join(folder, nameOf(i + 1)),
      writeGguf({ metadata: pairs, tensors: tensors.slice(i * size, (i + 1) * size) }),
    );
  }
}

describe("a model in several parts", () => {
  test("reads the same as in one file, by any part and by its folder", async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, "whole.gguf"), writeGguf(ggufOfTinyModel(MODEL)));
      const whole = await openGguf(join(folder, "whole.gguf"));
      const parts = join(folder, "parts");
      await mkdir(parts);
      await writeParts(parts);
      for (const path of [parts, ...[1, 2, 3].map((number) => join(parts, nameOf(number)))]) {
        const checkpoint = await openCheckpoint(path);
        expect(checkpoint.config).toEqual(whole.config);
        expect([...checkpoint.tensors.keys()].toSorted()).toEqual([...whole.tensors.keys()].toSorted());
        for (const name of whole.tensors.keys())
          expect(await checkpoint.readFloat32(name)).toEqual(await whole.readFloat32(name));
        expect([...checkpoint.gguf!.metadata.keys()]).toEqual([...whole.gguf!.metadata.keys()]);
        expect(await checkpoint.changedFile!()).toBeNull();
        await checkpoint.close();
      }
      const bytes = (await describeModel(parts)).bytesOnDisk!;
      expect(bytes).toBeGreaterThan((await describeModel(join(folder, "whole.gguf"))).bytesOnDisk!); // two more headers
      await whole.close();
    });
  });

  test("next to its image encoder is named", async () => {
    await withFolder(async (folder) => {
      await writeParts(folder);
      await writeFile(join(folder, "mmproj.gguf"), "GGUF");
      const error = await errorOf(locateCheckpoint(folder));
      expect(error.message).toMatch(/2 GGUF files: mmproj\.gguf, tiny-00001-of-00003\.gguf.*Pass .*tiny-00001-of-00003\.gguf/);
    });
  });

  const cases: readonly [string, string, RegExp, (folder: string) => Promise<unknown>, number?][] = [
    [
      "a missing part",
      "GGUF_SPLIT",
      /tiny-00002-of-00003\.gguf: found no such file, expected all 3 parts/,
      (f) => rm(join(f, nameOf(2))),
    ],
    ["a missing first part", "GGUF_SPLIT", /tiny-00001-of-00003\.gguf: found no such file/, (f) => rm(join(f, nameOf(1))), 2],
    [
      "a part under the name of another",
      "GGUF_SPLIT",
      /tiny-00002-of-00003\.gguf: key 'split\.no': found 2, expected 1/,
      (f) => copyFile(join(f, nameOf(3)), join(f, nameOf(2))),
    ],
    [
      "a part of a model with other tensors",
      "GGUF_SPLIT",
      /key 'split\.tensors\.count': found another value than in the first part/,
      (f) => writeParts(f, (number) => (number === 3 ? { "split.tensors.count": ["int32", 7] } : {})),
    ],
    [
      "a part of a model with another name",
      "GGUF_SPLIT",
      /tiny-00002-of-00003\.gguf: key 'general\.architecture': found another value/,
      (f) => writeParts(f, (number) => (number === 2 ? { "general.architecture": ["string", "qwen2"] } : {})),
    ],
    [
      "differing counts",
      "GGUF_SPLIT",
      /tiny-00003-of-00003\.gguf: key 'split\.count': found 4, expected 3/,
      (f) => writeParts(f, (number) => (number === 3 ? { "split.count": ["uint16", 4] } : {})),
    ],
    [
      "a part that is no part",
      "GGUF_SPLIT",
      /tiny-00002-of-00003\.gguf: key 'split\.count': found no such key/,
      (f) => writeFile(join(f, nameOf(2)), writeGguf({ metadata: [], tensors: [] })),
    ],
    [
      "too few tensors",
      "GGUF_SPLIT",
      /key 'split\.tensors\.count': found 40, but \d+ tensors in 3 parts/,
      (f) => writeParts(f, () => ({ "split.tensors.count": ["int32", 40] })),
    ],
    [
      "a repeated tensor",
      "GGUF_DUPLICATE_TENSOR",
      /tiny-00002-of-00003\.gguf: tensor 'token_embd\.weight': found a tensor that another part has too/,
      (f) => {
        const [first] = ggufOfTinyModel(MODEL).tensors;
        const metadata: [string, TypedValue][] = [
          ["split.no", ["uint16", 1]],
          ["split.count", ["uint16", COUNT]],
        ];
        return writeFile(join(f, nameOf(2)), writeGguf({ metadata, tensors: [first!] }));
      },
    ],
    [
      "another count in the name",
      "GGUF_SPLIT",
      /found one of 3 parts, under the name tiny-00001-of-00002\.gguf/,
      (f) => rename(join(f, nameOf(1)), join(f, nameOf(1, 2))),
    ],
    [
      "a cut part",
      "GGUF_TRUNCATED",
      /tiny-00003-of-00003\.gguf/,
      (f) => writeFile(join(f, nameOf(3)), writeGguf({ metadata: [], tensors: [] }).subarray(0, 20)),
    ],
    [
      "a pipe as a part",
      "MODEL_FILE_MISSING",
      /found a folder/,
      async (f) => {
        await rm(join(f, nameOf(2)));
        await mkdir(join(f, nameOf(2)));
      },
    ],
  ];

  test.each(cases)("%s: %s", async (name, code, message, damage, opened = 1) => {
    await withFolder(async (folder) => {
      await writeParts(folder);
      await damage(folder);
      const path = join(folder, name.includes("count in the name") ? nameOf(1, 2) : nameOf(opened));
      const error = await errorOf(openGguf(path));
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    });
  });
});
