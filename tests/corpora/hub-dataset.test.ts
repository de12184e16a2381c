/**
 * @file Datasets on the hub as corpora, from a local server with the hub's API: which names are datasets, which files
 * of them are read, and how a refusal names what there is.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseDatasetSpec } from "../../src/corpora/hub-dataset.ts";
import { loadCorpora } from "../../src/corpora/load.ts";
import type { SourceReport } from "../../src/corpora/corpus.ts";
import { readDocuments } from "../../src/corpora/read-documents.ts";
import type { Tokenizer } from "../../src/corpora/tokenizer.ts";
import { clearHubEnvironment, startHub } from "../support/hub-server.ts";
import { errorOf } from "../support/temporary-gguf.ts";
import { withFolder } from "../support/temporary-folder.ts";

const PARQUET = join(import.meta.dirname, "../fixtures/parquet");
/** A column `text` with "text 0" … "text 6", and a column `body`. */
const TEXTS = new Uint8Array(await readFile(join(PARQUET, "snappy.parquet")));
const CHATS = new Uint8Array(await readFile(join(PARQUET, "required.parquet")));

beforeEach(() => {
  clearHubEnvironment();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

interface Read {
  readonly texts: string[];
  readonly report: SourceReport;
  readonly requests: string[];
}

async function read(paths: readonly string[], spec: string, content = TEXTS): Promise<Read> {
  const files = new Map(paths.map((path) => [path, path.endsWith(".parquet") ? content : new Uint8Array(1)]));
  const hub = await startHub(files, { converted: new Map([["default/train/0000.parquet", TEXTS]]) });
  try {
    return await withFolder(async (folder) => {
      vi.stubEnv("HF_ENDPOINT", hub.url);
      vi.stubEnv("HF_HUB_CACHE", folder);
      const texts: string[] = [];
      let report: SourceReport | null = null;
      const chatTemplate = { source: "{% for m in messages %}{{ m.content }}|{% endfor %}", tokens: {}, where: "model" };
      const options = { chatTemplate, onReport: (found: SourceReport) => (report = found) };
      for await (const { text } of readDocuments(spec, options)) texts.push(text);
      return { texts, report: report!, requests: hub.requests };
    });
  } finally {
    await hub.close();
  }
}

const SEVEN = Array.from({ length: 7 }, (_, i) => `text ${i}`);

describe("a dataset", () => {
  test("is read from its Parquet files, the split `train` unless another is named", async () => {
    const paths = [
      "README.md",
      "data/test-00000-of-00001.parquet",
      "data/train-00000-of-00002.parquet",
      "data/train-00001-of-00002.parquet",
    ];
    const { texts, report, requests } = await read(paths, "tiny/data");
    expect(texts).toEqual([...SEVEN, ...SEVEN]);
    expect(report).toMatchObject({ spec: "tiny/data", documents: 14, notes: ["split train, commit 0123456, 2 of 2 files"] });
    expect(requests.join()).not.toContain("test-00000");
    const other = await read(paths, "hf://datasets/tiny/data:test#body");
    expect(other.texts[1]).toBe("Ein zweites, mit Umlauten: äöüß.");
    expect(other.report.notes).toEqual(["split test, commit 0123456, 1 of 1 file"]);
  });

  test("may hold chats", async () => {
    const { texts, report } = await read(["train.parquet"], "https://huggingface.co/datasets/tiny/data", CHATS);
    expect(texts[0]).toBe("How are you?|Fine, thanks.|");
    expect(report.fields).toEqual(["messages (chat template)"]);
  });

  test("in another format is read from the hub's conversion", async () => {
    expect((await read(["data.jsonl"], "tiny/data")).texts).toEqual(SEVEN);
  });

  test("has its configuration named if there are several", async () => {
    const paths = ["de/train-00000-of-00001.parquet", "en/train-00000-of-00001.parquet", "en/test-00000-of-00001.parquet"];
    const error = await errorOf(read(paths, "tiny/data"));
    expect(error.code).toBe("DATASET_PART");
    expect(error.exitCode).toBe(2);
    expect(error.parts).toMatchObject({ expected: "one of its configurations: de, en", remedy: "Name one, e.g. tiny/data/de" });
    expect((await read(paths, "tiny/data/en:test")).report.notes).toEqual(["split test, commit 0123456, 1 of 1 file"]);
    const split = await errorOf(read(paths, "tiny/data/de:test@main"));
    expect(split.parts).toMatchObject({ found: "no split 'test'", remedy: "Name one, e.g. tiny/data/de:train@main" });
  });

  test("is a corpus of the program", async () => {
    const bytes: Tokenizer = {
      vocabSize: 256,
      prefix: new Int32Array(0),
      encode: (text) => Int32Array.from(Buffer.from(text.repeat(4))),
      decode: (ids) => Buffer.from(ids).toString(),
    };
    const hub = await startHub(new Map([["train.parquet", TEXTS]]), { converted: new Map() });
    await withFolder(async (folder) => {
      vi.stubEnv("HF_ENDPOINT", hub.url);
      vi.stubEnv("HF_HUB_CACHE", folder);
      const [corpus] = await loadCorpora({ domain: ["tiny/data"] }, bytes, { documents: 4, heldOutDocuments: 2 });
      expect(corpus).toMatchObject({ label: "data", sources: [{ spec: "tiny/data", documents: 7 }] });
      expect(corpus?.calibration).toHaveLength(4);
    });
    await hub.close();
  });
});

describe("names", () => {
  test.for<[string, string | null, string | null]>([
    ["owner/name", "owner/name", null],
    ["owner/name/20231101.de:validation@v1", "owner/name/20231101.de@v1", "validation"],
    ["hf://datasets/owner/name.jsonl", "owner/name.jsonl", null],
    ["owner/name.jsonl", null, null],
    ["owner/book.pdf", null, null],
    ["./owner/name", null, null],
    ["/owner/name", null, null],
    ["owner/../name", null, null],
    ["name.txt", null, null],
  ])("%s", async ([text, name, split]) => {
    expect(await parseDatasetSpec(text)).toEqual(name === null ? null : { name, split });
  });

  test("in a folder that exists are paths", async () => {
    expect(await parseDatasetSpec("tests/corpora")).toBeNull();
    // `tests` exists where tests run.
    const error = await errorOf(readDocuments("tests/mistyped").next());
    expect(error.code).toBe("CORPUS_NOT_FOUND");
    expect(error.parts.remedy).toContain("hf://datasets/tests/mistyped");
  });
});
