/** @file Corpora that change while they are read, and between two readings of one run. */

import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { CorpusStamps } from "../../src/corpora/corpus-stamps.ts";
import { loadCorpora } from "../../src/corpora/load.ts";
import { readDocuments } from "../../src/corpora/read-documents.ts";
import { countTokens } from "../../src/corpora/token-counts.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyTokenizerFiles } from "../support/tiny-models.ts";

const LINES = Array.from({ length: 5 }, (_, n) => `{"text":"document ${n}"}\n`).join("");

/** Ways to change `a.jsonl` of a folder. */
const CHANGES: readonly (readonly [name: string, change: (folder: string, path: string) => void])[] = [
  ["truncated", (_, path) => truncateSync(path, 30)],
  ["appended to", (_, path) => appendFileSync(path, '{"text":"one more"}\n')],
  ["rewritten in the same size", (_, path) => writeFileSync(path, LINES.replaceAll("document", "Document"))],
  [
    "rewritten, and its modification time restored",
    (_, path) => {
      writeFileSync(path, LINES.replaceAll("document", "Document"));
      utimesSync(path, 1000, 1000);
    },
  ],
  [
    "replaced",
    (folder, path) => {
      writeFileSync(join(folder, "other"), LINES);
      renameSync(join(folder, "other"), path);
    },
  ],
  ["removed", (_, path) => rmSync(path)],
];

/** Writes a file, and lets the clock of the file system go on. */
async function writeOld(path: string): Promise<void> {
  writeFileSync(path, LINES);
  utimesSync(path, 1000, 1000);
  await setTimeout(20);
}

async function withCorpus(use: (folder: string, path: string) => Promise<void>): Promise<void> {
  await withFolder(async (home) => {
    const folder = join(home, "corpus");
    mkdirSync(folder);
    for (const name of ["a.jsonl", "b.jsonl"]) await writeOld(join(folder, name));
    await use(folder, join(folder, "a.jsonl"));
  });
}

/** Reads all documents, or as many as are wanted. */
async function read(spec: string, stamps = new CorpusStamps(), wanted = Infinity, onFirst = (): void => {}): Promise<number> {
  let count = 0;
  for await (const _ of readDocuments(spec, { chatTemplate: null, stamps })) {
    count += 1;
    if (count === 1) onFirst();
    if (count === wanted) break;
  }
  return count;
}

const changed = (where: string): object => ({ code: "CORPUS_CHANGED", parts: { where } });

describe.each(CHANGES)("a corpus that is %s", (_, change) => {
  test("while it is read is refused, however far it was read", () =>
    withCorpus(async (folder, path) => {
      for (const [spec, wanted] of [
        [path, Infinity],
        [folder, Infinity],
        [path, 2],
      ] as const) {
        await writeOld(path);
        const reading = read(spec, new CorpusStamps(), wanted, () => change(folder, path));
        await expect(reading).rejects.toMatchObject(changed(path));
      }
    }));

  test("between two readings is refused in the second one", () =>
    withCorpus(async (folder, path) => {
      const stamps = new CorpusStamps();
      expect(await read(folder, stamps)).toBe(10);
      await stamps.checkAll();
      change(folder, path);
      await expect(read(folder, stamps)).rejects.toMatchObject(changed(path));
      await expect(stamps.checkAll()).rejects.toMatchObject(changed(path));
    }));
});

test("a folder that gains a file between two readings is refused", () =>
  withCorpus(async (folder) => {
    const stamps = new CorpusStamps();
    await read(folder, stamps);
    writeFileSync(join(folder, "c.jsonl"), LINES);
    await expect(read(folder, stamps)).rejects.toMatchObject(changed(join(folder, "c.jsonl")));
  }));

test("what does not change is read as often as wanted, also through a link, and also by a run that starts later", () =>
  withCorpus(async (folder, path) => {
    symlinkSync(path, join(folder, "link.jsonl"));
    const stamps = new CorpusStamps();
    for (const wanted of [Infinity, 3, Infinity]) expect(await read(folder, stamps, wanted)).toBe(Math.min(wanted, 15));
    // Not a file of the corpus.
    writeFileSync(join(folder, "notes.pdf"), "");
    expect(await read(folder, stamps)).toBe(15);
    appendFileSync(path, '{"text":"one more"}\n');
    expect(await read(folder)).toBe(17);
  }));

test("tokens are not counted in another corpus than the one that the documents were drawn from", () =>
  withFolder(async (folder) => {
    const path = await writeTinyCorpus(join(folder, "a.jsonl"), { seed: 1 });
    const tokenizer = createTokenizer(tinyTokenizerFiles(16), "words");
    const [specs, stamps] = [{ language: [path] }, new CorpusStamps()];
    const corpora = await loadCorpora(specs, tokenizer, { documents: 4, heldOutDocuments: 2, stamps });
    const count = (): Promise<unknown> => countTokens(specs, tokenizer, { vocabSize: 16, corpora, stamps });
    await count();
    await writeTinyCorpus(join(folder, "other"), { seed: 2 });
    renameSync(join(folder, "other"), path);
    await expect(count()).rejects.toMatchObject(changed(path));
  }));
