/**
 * @file Checks the order of the folders, that there are no import cycles, and the size, width and header of files, so
 * that the repository stays as docs/ describes it.
 */

import { dirname, join, normalize, sep } from "node:path";
import { describe, expect, test } from "vitest";
import { FAMILIES } from "../src/families/table.ts";
import { importCycles } from "./support/import-cycles.ts";
import { linesOf, longLines, readSources, type SourceFile } from "./support/source-files.ts";

const MAX_LINES = 300;

/** A folder imports from itself, from those before it, and from the files directly in src. */
const FOLDERS = [
  "families",
  "checkpoint",
  "corpora",
  "model",
  "scoring",
  "selection",
  "surgery",
  "export",
  "evaluation",
  "verification",
  "report",
  "pipeline",
  "cli",
];

/** A family's name in a comparison. In tables that are keyed by family it is data, and allowed. */
const BRANCH_ON_FAMILY = new RegExp(
  `(?:[=!]==?|case|includes\\(|startsWith\\()\\s*["'\`](?:${FAMILIES.map(({ name }) => name).join("|")})\\b`,
);

/** `llama` is also GGUF's name for SentencePiece's kind of tokenizer. */
const TOKENIZER_KINDS = "src/checkpoint/gguf/tokenizer.ts";

function importsOf({ path, text }: SourceFile): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map(([, target = ""]) =>
    normalize(join(dirname(path), target))
      .split(sep)
      .join("/"),
  );
}

/** The folder below src that a file is in; null for a file directly in src. */
function folderOf(path: string): string | null {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? null;
}

/**
 * A file's place in the order: -1 for those directly in src, which come first. Entry points export all, and come last.
 */
function rank(path: string): number {
  if (path === "src/index.ts" || path === "src/internals.ts") return FOLDERS.length;
  const folder = folderOf(path);
  return folder === null ? -1 : FOLDERS.indexOf(folder);
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}

const sources = readSources("src", [".ts"]);
const all = ["src", "tests", "bench", "scripts"].flatMap((folder) => readSources(folder, [".ts", ".mjs", ".py"]));

describe("architecture", () => {
  test("every folder of src has a place in the order", () => {
    const folders = new Set(sources.map(({ path }) => folderOf(path)).filter((folder) => folder !== null));
    expect([...folders].toSorted()).toEqual(FOLDERS.toSorted());
  });

  test("a folder imports only from those before it", () => {
    const backwards = sources.flatMap((file) =>
      importsOf(file)
        .filter((target) => rank(target) > rank(file.path))
        .map((target) => `${file.path} → ${target}`),
    );
    expect(backwards).toEqual([]);
  });

  test("there are no import cycles, those of types included", () => {
    expect(importCycles(new Map(sources.map((file) => [file.path, importsOf(file)])))).toEqual([]);
  });

  test("every file opens with its purpose", () => {
    const silent = sources.filter(({ text }) => !/^(#!.*\n)?\/\*\*\n? ?\*? ?@file \S/.test(text)).map(({ path }) => path);
    expect(silent).toEqual([]);
  });

  test(`no file is longer than ${MAX_LINES} lines`, () => {
    expect(all.filter((file) => linesOf(file).length > MAX_LINES).map(({ path }) => path)).toEqual([]);
  });

  test("no line is longer than 130 characters, and no comment longer than 120", () => {
    expect(all.flatMap(longLines)).toEqual([]);
  });

  test("no code branches on a family's name", () => {
    const branching = sources.filter(
      ({ path, text }) => path !== TOKENIZER_KINDS && BRANCH_ON_FAMILY.test(withoutComments(text)),
    );
    expect(branching.map(({ path }) => path)).toEqual([]);
  });
});

describe("importCycles", () => {
  const cyclesOf = (imports: Readonly<Record<string, readonly string[]>>): string[][] =>
    importCycles(new Map(Object.entries(imports)));

  test("finds cycles of two and of more files, each with all of its files", () => {
    const imports = { a: ["b"], b: ["c", "e"], c: ["d", "a"], d: ["b"], e: ["f"], f: ["e", "g"], g: [] };
    expect(cyclesOf(imports)).toEqual([
      ["e", "f"],
      ["a", "b", "c", "d"],
    ]);
  });

  test("finds none in files that are imported by several paths, and ignores other files", () => {
    expect(cyclesOf({ a: ["b", "c"], b: ["d"], c: ["d", "elsewhere"], d: [] })).toEqual([]);
  });
});
