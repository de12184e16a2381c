/**
 * @file Holds the order of the folders and the size and header of files, so that the repository stays what docs/ says it is.
 */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SRC = join(ROOT, "src");

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

/** A family's name in a comparison. In tables that are keyed by family it is data and welcome. */
const BRANCH_ON_FAMILY = /(?:[=!]==?|case|includes\(|startsWith\()\s*["'`](?:llama|mistral|qwen2|qwen3|gemma3)\b/;

/** `llama` is also what GGUF calls SentencePiece's kind of tokenizer. */
const TOKENIZER_KINDS = "checkpoint/gguf/tokenizer.ts";

interface SourceFile {
  /** Path below src, with slashes. */
  readonly path: string;
  readonly text: string;
}

function readSources(folder: string): SourceFile[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => ({
      path: relative(SRC, join(folder, name)).split(sep).join("/"),
      text: readFileSync(join(folder, name), "utf8"),
    }));
}

function importsOf({ path, text }: SourceFile): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map(([, target = ""]) =>
    normalize(join(dirname(path), target))
      .split(sep)
      .join("/"),
  );
}

/** Place of a file in the order: -1 for those directly in src, which come first. The entry points name everything and come last. */
function rank(path: string): number {
  if (path === "index.ts" || path === "internals.ts") return FOLDERS.length;
  return path.includes("/") ? FOLDERS.indexOf(path.split("/")[0] ?? "") : -1;
}

const sources = readSources(SRC);

describe("architecture", () => {
  test("every folder of src has a place in the order", () => {
    const folders = new Set(sources.filter(({ path }) => path.includes("/")).map(({ path }) => path.split("/")[0]));
    expect([...folders].filter((folder) => !FOLDERS.includes(folder ?? ""))).toEqual([]);
  });

  test("a folder imports only from those before it", () => {
    const backwards = sources.flatMap((file) =>
      importsOf(file)
        .filter((target) => rank(target) > rank(file.path))
        .map((target) => `${file.path} → ${target}`),
    );
    expect(backwards).toEqual([]);
  });

  test("every file opens with what it does", () => {
    const silent = sources.filter(({ text }) => !/^(#!.*\n)?\/\*\*\n? ?\*? ?@file \S/.test(text)).map(({ path }) => path);
    expect(silent).toEqual([]);
  });

  test("no file is longer than 400 lines", () => {
    const all = [...sources, ...readSources(join(ROOT, "tests"))];
    expect(all.filter(({ text }) => text.split("\n").length > 400).map(({ path }) => path)).toEqual([]);
  });

  test("no code branches on a family's name", () => {
    expect(
      sources
        .filter(({ path, text }) => path !== TOKENIZER_KINDS && BRANCH_ON_FAMILY.test(withoutComments(text)))
        .map(({ path }) => path),
    ).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}
