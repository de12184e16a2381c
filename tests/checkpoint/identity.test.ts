/** @file The identity of a model: which changes it notices, and which it must not mind. */

import { copyFile, open, rename, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { checkUnchanged, identifyModel } from "../../src/checkpoint/identity.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { checkpointFingerprint } from "../../src/scoring/fingerprint.ts";
import { quantizedGguf } from "../support/quantized-gguf.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { errorOf, withFile } from "../support/temporary-gguf.ts";
import { tinyModel, writeTinyCheckpoint, type TinyModel } from "../support/tiny-models.ts";

const MODEL = tinyModel("llama", { numHiddenLayers: 2, intermediateSize: 96 });
const QUANTIZED = tinyModel("llama", {
  numHiddenLayers: 1,
  hiddenSize: 64,
  intermediateSize: 96,
  numAttentionHeads: 8,
  numKeyValueHeads: 4,
  headDim: 8,
});

async function withOpen<T>(path: string, use: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(path);
  try {
    return await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

const weightsOf = (path: string): Promise<string> => withOpen(path, async (model) => (await identifyModel(model)).weights);

/** First byte of the tensors in a safetensors file. */
async function dataStart(path: string): Promise<number> {
  return 8 + Number((await readFile(path)).readBigUInt64LE(0));
}

/** Flips the lowest bit of a byte, in place. */
async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0]! ^= 1;
  await file.write(byte, 0, 1, at);
  await file.close();
}

describe("the identity of a model", () => {
  test("names its family and the shape of every tensor", () =>
    withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, MODEL, "BF16");
      const identity = await withOpen(folder, (model) => identifyModel(model));
      expect(identity.family).toBe("llama");
      expect(identity.tensors).toEqual(Object.fromEntries([...MODEL.tensors].map(([name, { shape }]) => [name, shape])));
      expect(identity.weights).toMatch(/^[0-9a-f]{64}$/);
    }));

  test("changes with any bit of the weights of a safetensors file", () =>
    withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, MODEL, "BF16");
      const path = join(folder, "model.safetensors");
      const [before, start, { size }] = [await weightsOf(folder), await dataStart(path), await stat(path)];
      // The low byte of a BF16 ends in the last bit of its fraction: any value stays finite.
      const places = fc.integer({ min: 0, max: (size - start) / 2 - 1 });
      await fc.assert(
        fc.asyncProperty(places, async (place) => {
          await flip(path, start + 2 * place);
          expect(await weightsOf(folder)).not.toBe(before);
          await flip(path, start + 2 * place);
          expect(await weightsOf(folder)).toBe(before);
        }),
        { numRuns: 30 },
      );
    }));

  test("changes with any quant of a GGUF file", () =>
    withFile(quantizedGguf(QUANTIZED), async (path) => {
      const [before, { size }] = [await weightsOf(path), await stat(path)];
      // The last tensor ends the file, up to the padding; its last bytes are quants or a norm's fraction.
      const bytes = await readFile(path);
      const last = bytes.findLastIndex((byte) => byte !== 0);
      expect(last).toBeGreaterThan(size - 64);
      await flip(path, last - 5);
      expect(await weightsOf(path)).not.toBe(before);
    }));

  test("does not depend on the order of the tensors, and the weights not on the config", () =>
    withFolder(async (folder) => {
      const reversed: TinyModel = { ...MODEL, tensors: new Map([...MODEL.tensors].toReversed()) };
      await writeTinyCheckpoint(join(folder, "a"), MODEL, "BF16");
      await writeTinyCheckpoint(join(folder, "b"), reversed, "BF16");
      expect(await weightsOf(join(folder, "b"))).toBe(await weightsOf(join(folder, "a")));
      const fingerprint = (): Promise<string> => withOpen(join(folder, "b"), (model) => checkpointFingerprint(model));
      const before = await fingerprint();
      await writeFile(join(folder, "b", "config.json"), JSON.stringify({ ...MODEL.configJson, rms_norm_eps: 1e-6 }));
      expect(await weightsOf(join(folder, "b"))).toBe(await weightsOf(join(folder, "a")));
      expect(await fingerprint()).not.toBe(before);
    }));

  test("is that of the stored type: BF16 and F32 of the same values differ", () =>
    withFolder(async (folder) => {
      await writeTinyCheckpoint(join(folder, "a"), MODEL, "BF16");
      await writeTinyCheckpoint(join(folder, "b"), MODEL, "F32");
      expect(await weightsOf(join(folder, "b"))).not.toBe(await weightsOf(join(folder, "a")));
    }));

  test("is not given to weights that are not finite", async () => {
    const name = "model.layers.0.mlp.down_proj.weight";
    const { shape, values } = MODEL.tensors.get(name)!;
    const broken = new Map(MODEL.tensors).set(name, { shape, values: values.with(3 * shape[1]! + 5, Number.NaN) });
    await withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, { ...MODEL, tensors: broken }, "F32");
      await withOpen(folder, async (model) => {
        const error = { code: "WEIGHTS_NOT_FINITE", parts: { found: "NaN in row 3, column 5" } };
        await expect(identifyModel(model)).rejects.toMatchObject(error);
        await expect(model.readFloat32(name)).rejects.toMatchObject(error);
        await expect(model.readFloat32(name, { start: 2, end: 4 })).rejects.toMatchObject(error);
        expect(await model.readFloat32(name, { start: 4, end: 6 })).toHaveLength(2 * shape[1]!);
      });
    });
  });

  test("stops when the job is aborted, and can be taken again", () =>
    withFolder(async (folder) => {
      await writeTinyCheckpoint(folder, MODEL, "BF16");
      await withOpen(folder, async (model) => {
        await expect(identifyModel(model, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
        expect((await identifyModel(model)).weights).toHaveLength(64);
      });
    }));
});

test("a NaN scale of a GGUF file is named with its tensor and columns", async () => {
  const bytes = quantizedGguf(QUANTIZED);
  await withFile(bytes, async (path) => {
    const name = "model.layers.0.mlp.down_proj.weight";
    const at = await withOpen(path, async (model) => {
      const stored = await model.gguf!.rowsAsStored(name)!({ start: 7, end: 8 });
      return Buffer.from(bytes).indexOf(stored);
    });
    expect(at).toBeGreaterThan(0);
    const file = await open(path, "r+");
    // Q4_1: blocks of 20 bytes for 32 values; the second F16 of the third block is its minimum.
    await file.write(Uint8Array.of(0x00, 0xfc), 0, 2, at + 2 * 20 + 2);
    await file.close();
    await withOpen(path, async (model) => {
      const error = await errorOf(identifyModel(model));
      expect(error.code).toBe("WEIGHTS_NOT_FINITE");
      expect(error.parts).toMatchObject({
        where: `${path}: tensor '${name}'`,
        found: "a scale that is -Infinity, in row 7, columns 64 to 95",
      });
      expect((await errorOf(model.readFloat32(name))).code).toBe("WEIGHTS_NOT_FINITE");
    });
  });
});

describe("a model that changes while it is open", () => {
  const prepare = async (folder: string): Promise<string> => {
    await writeTinyCheckpoint(folder, MODEL, "BF16");
    return join(folder, "model.safetensors");
  };

  test("is noticed, also if its modification time was restored", () =>
    withFolder(async (folder) => {
      const path = await prepare(folder);
      const { atime, mtime, size } = await stat(path);
      await withOpen(folder, async (model) => {
        await identifyModel(model);
        await checkUnchanged(model);
        await flip(path, size - 2);
        await utimes(path, atime, mtime);
        await expect(checkUnchanged(model)).rejects.toMatchObject({ code: "MODEL_CHANGED", parts: { where: path } });
      });
    }));

  test("is noticed before its identity is known", () =>
    withFolder(async (folder) => {
      const path = await prepare(folder);
      await withOpen(folder, async (model) => {
        await flip(path, (await stat(path)).size - 2);
        await expect(identifyModel(model)).rejects.toMatchObject({ code: "MODEL_CHANGED" });
      });
    }));

  test("is the same if it is only touched, linked, or replaced by another file of its name", () =>
    withFolder(async (folder) => {
      const path = await prepare(folder);
      await withOpen(folder, async (model) => {
        await identifyModel(model);
        await utimes(path, new Date(), new Date(0));
        await checkUnchanged(model);
        await copyFile(path, join(folder, "other"));
        await flip(join(folder, "other"), (await stat(path)).size - 2);
        await rename(join(folder, "other"), path);
        await checkUnchanged(model);
      });
    }));

  test("GGUF is noticed too", () =>
    withFile(quantizedGguf(QUANTIZED), (path) =>
      withOpen(path, async (model) => {
        await identifyModel(model);
        const last = (await readFile(path)).findLastIndex((byte) => byte !== 0);
        await flip(path, last - 5);
        await expect(checkUnchanged(model)).rejects.toMatchObject({ code: "MODEL_CHANGED", parts: { where: path } });
      }),
    ));

  test("a tokenizer that is exchanged between two readings is refused", () =>
    withFolder(async (folder) => {
      await prepare(folder);
      await withOpen(folder, async (model) => {
        await model.readTokenizerFiles();
        await model.readTokenizerFiles();
        const path = join(folder, "tokenizer.json");
        await writeFile(path, `${await readFile(path, "utf8")} `);
        await expect(model.readTokenizerFiles()).rejects.toMatchObject({ code: "MODEL_CHANGED", parts: { where: path } });
      });
    }));
});
