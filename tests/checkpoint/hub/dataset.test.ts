/**
 * @file Datasets from a local server with the hub's API: the Parquet files of `main` or of the hub's conversion,
 * selection, cache and offline use.
 */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fetchDatasetFiles } from "../../../src/checkpoint/hub/dataset.ts";
import { parseHubDatasetId } from "../../../src/checkpoint/hub/id.ts";
import { clearHubEnvironment, COMMIT, CONVERTED_COMMIT, startHub } from "../../support/hub-server.ts";
import { errorOf } from "../../support/temporary-gguf.ts";
import { withFolder } from "../../support/temporary-folder.ts";

type Files = ReadonlyMap<string, Uint8Array>;

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const filesOf = (...paths: string[]): Files => new Map(paths.map((path) => [path, text(`content of ${path}`)]));
const own = filesOf("README.md", "en/train-00001-of-00002.parquet", "en/train-00000-of-00002.parquet", "de/test.parquet");
const jsonl = filesOf("README.md", "data.jsonl");
const converted = filesOf("default/train/0000.parquet", "default/train/0001.parquet");

beforeEach(() => {
  clearHubEnvironment();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** Runs a test with a server of these files and an empty cache. */
async function withHub(
  files: Files,
  use: (options: { endpoint: string; cacheDir: string }, requests: string[]) => Promise<void>,
): Promise<void> {
  const hub = await startHub(files, { converted });
  await withFolder((cacheDir) => use({ endpoint: hub.url, cacheDir }, hub.requests));
  await hub.close();
}

describe("a dataset", () => {
  test("is the Parquet files of main, in the order of their paths, in the shared cache's layout", async () => {
    await withHub(own, async (options) => {
      const found = await fetchDatasetFiles("tiny/data", options);
      const folder = join(options.cacheDir, "datasets--tiny--data/snapshots", COMMIT);
      expect(found).toEqual({
        repo: "tiny/data",
        revision: "main",
        commit: COMMIT,
        files: ["de/test.parquet", "en/train-00000-of-00002.parquet", "en/train-00001-of-00002.parquet"].map((path) => ({
          path,
          byteLength: `content of ${path}`.length,
          localPath: join(folder, path),
        })),
      });
      for (const { path, localPath } of found.files) expect(await readFile(localPath, "utf8")).toBe(`content of ${path}`);
      expect(await readFile(join(folder, "../../refs/main"), "utf8")).toBe(COMMIT);
    });
  });

  test("without Parquet files is read from the hub's conversion, unless a revision is named", async () => {
    await withHub(jsonl, async (options) => {
      const found = await fetchDatasetFiles("tiny/data", options);
      expect([found.revision, found.commit, found.files.map(({ path }) => path)]).toEqual([
        "refs/convert/parquet",
        CONVERTED_COMMIT,
        ["default/train/0000.parquet", "default/train/0001.parquet"],
      ]);
      const error = await errorOf(fetchDatasetFiles("tiny/data@main", options));
      expect([error.code, error.message]).toEqual(["HUB_NOT_FOUND", expect.stringMatching(/no Parquet files in main/)]);
    });
  });

  test("may be narrowed by a folder, a file, or the caller's choice; nothing else is downloaded", async () => {
    await withHub(own, async (options, requests) => {
      const pathsOf = async (name: string, select?: Parameters<typeof fetchDatasetFiles>[1]): Promise<string[]> =>
        (await fetchDatasetFiles(name, { ...options, ...select })).files.map(({ path }) => path);
      expect(await pathsOf("tiny/data/de")).toEqual(["de/test.parquet"]);
      expect(await pathsOf("tiny/data/de/test.parquet@main")).toEqual(["de/test.parquet"]);
      const train = await pathsOf("tiny/data", { select: (files) => files.filter(({ path }) => path.includes("train-00001")) });
      expect(train).toEqual(["en/train-00001-of-00002.parquet"]);
      expect(requests.filter((request) => request.includes("train-00000"))).toEqual([]);
      const error = await errorOf(fetchDatasetFiles("tiny/data/fr", options));
      expect(error.message).toMatch(
        /no Parquet files at fr in main or refs\/convert\/parquet.*Correct the path after tiny\/data\//,
      );
    });
  });

  test("in the cache is used offline and after a lost connection if all its files are there", async () => {
    await withHub(own, async (options, requests) => {
      const found = await fetchDatasetFiles("tiny/data/en", options);
      vi.stubEnv("HF_HUB_OFFLINE", "true");
      requests.length = 0;
      expect(await fetchDatasetFiles("tiny/data/en", options)).toEqual(found);
      const error = await errorOf(fetchDatasetFiles("tiny/data", options)); // de/test.parquet was never downloaded
      expect([error.code, error.message]).toEqual(["HUB_UNREACHABLE", expect.stringContaining("Unset HF_HUB_OFFLINE")]);
      expect(requests).toEqual([]);
      vi.stubEnv("HF_HUB_OFFLINE", undefined);
      expect(await fetchDatasetFiles(`tiny/data/en@${COMMIT}`, options)).toMatchObject({ files: found.files });
      expect(requests).toEqual([]);
      expect(await fetchDatasetFiles("tiny/data/en", { ...options, endpoint: "http://127.0.0.1:9" })).toEqual(found);
    });
  });

  test("that another tool cached is used offline, unless a numbered file is missing", async () => {
    await withFolder(async (cacheDir) => {
      vi.stubEnv("HF_HUB_OFFLINE", "1");
      const root = join(cacheDir, "datasets--tiny--data");
      await mkdir(join(root, "refs"), { recursive: true });
      await writeFile(join(root, "refs/main"), COMMIT);
      await mkdir(join(root, "snapshots", COMMIT, "en"), { recursive: true });
      for (const [path, bytes] of own) if (path.startsWith("en/")) await writeFile(join(root, "snapshots", COMMIT, path), bytes);
      expect((await fetchDatasetFiles("tiny/data", { cacheDir })).files).toHaveLength(2);
      await rm(join(root, "snapshots", COMMIT, "en/train-00001-of-00002.parquet"));
      expect((await errorOf(fetchDatasetFiles("tiny/data", { cacheDir }))).code).toBe("HUB_UNREACHABLE");
    });
  });

  test.each([["data"], ["tiny/../x"], ["tiny/data/a/../b"], ["tiny/data@../x"]])("the name %j is rejected", async (name) => {
    expect((await errorOf(fetchDatasetFiles(name))).code).toBe("DATASET_NAME");
  });

  test("whose listing would leave the cache is rejected", async () => {
    for (const path of ["../x.parquet", "/x.parquet", "a/../../x.parquet", "a\\x.parquet"]) {
      await withHub(filesOf(path), async (options) => {
        const error = await errorOf(fetchDatasetFiles("tiny/data", options));
        expect([error.code, error.message]).toEqual(["HUB_RESPONSE", expect.stringContaining("a path in the repository")]);
      });
    }
  });
});

test("names of datasets", () => {
  expect(parseHubDatasetId("a/b/20231101.de@refs/convert/parquet")).toEqual({
    repo: "a/b",
    path: "20231101.de",
    revision: "refs/convert/parquet",
  });
  expect(parseHubDatasetId("a/b/")).toEqual({ repo: "a/b", path: null, revision: null });
});
