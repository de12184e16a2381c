/**
 * @file Holds the documentation to the repository: what file headers cite exists, links lead somewhere, paths that are
 * named are there, and lines of prose are short.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { readMarkdown } from "./support/markdown.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Longest line of prose, in characters. */
const MAX_COLUMNS = 120;

/** Documents that a bench writes as a whole, with its prose: their lines are as long as the bench makes them. */
const GENERATED: readonly string[] = ["docs/compatibility.md"];

/** From such a line on, a bench writes the rest of a document. */
const GENERATED_FROM = "<!-- made by ";

/** Documents that say where things are: every path that they name in code is there. */
const SIGNPOSTS = ["CONTRIBUTING.md", "README.md", "docs/adding-a-family.md", "docs/architecture.md", "docs/guide.md"];

/** `docs/FILE.md, "Heading"`, and further headings after commas or `and`. */
const CITATION = /docs\/([\w./-]+?\.md)((?:(?:,| and)+ "[^"]+")*)/g;

/** The documentation cited in any other form: by a name that is no file's, or before there was a file. */
const LOOSE_CITATION = /(?<!docs\/)\b(?:the )?(?:architecture|design)(?:\.md)?, "[^"]+"|\bof the design\b/gi;

function filesUnder(folder: string, extensions: readonly string[]): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => extensions.some((extension) => name.endsWith(extension)))
    .map((name) => `${folder}/${name.split(sep).join("/")}`)
    .toSorted();
}

/** What a source file says in prose, on one line: its comments, of Python all of it. */
function proseOf(path: string): string {
  const text = readFileSync(join(ROOT, path), "utf8");
  const comments = path.endsWith(".py") ? [text] : (text.match(/\/\*[\s\S]*?\*\/|\/\/.*$/gm) ?? []);
  return comments.join("\n").replaceAll(/\n[ \t]*(?:\*|\/\/|#)?[ \t]*/g, " ");
}

const documents = new Map(
  ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)]
    .filter((path) => path.endsWith(".md"))
    .map((path) => [path, readMarkdown(readFileSync(join(ROOT, path), "utf8"))]),
);

const sources = ["src", "tests", "bench"].flatMap((folder) => filesUnder(folder, [".ts", ".mjs", ".py"]));
const own = relative(ROOT, fileURLToPath(import.meta.url))
  .split(sep)
  .join("/");
const prose = new Map(sources.filter((path) => path !== own).map((path) => [path, proseOf(path)]));

describe("citations in the source", () => {
  test("name a document and headings of it", () => {
    const wrong = [...prose].flatMap(([path, text]) =>
      // In backticks it is the document of another project.
      [...text.matchAll(CITATION)]
        .filter(({ index }) => text[index - 1] !== "`")
        .flatMap(([, file = "", headings = ""]) => {
          const document = documents.get(`docs/${file}`);
          if (document === undefined) return [`${path}: docs/${file}`];
          const cited = [...headings.matchAll(/"([^"]+)"/g)].map(([, heading = ""]) => heading);
          return cited
            .filter((heading) => !document.headings.includes(heading))
            .map((heading) => `${path}: docs/${file}, "${heading}"`);
        }),
    );
    expect(wrong).toEqual([]);
  });

  test("name the document by its path", () => {
    const loose = [...prose].flatMap(([path, text]) => (text.match(LOOSE_CITATION) ?? []).map((found) => `${path}: ${found}`));
    expect(loose).toEqual([]);
  });
});

describe("documents", () => {
  test.each([...documents])("%s links to files and headings that exist", (path, { anchors, links }) => {
    const broken = links.filter((target) => {
      if (/^[a-z][a-z\d+.-]*:/i.test(target)) return false;
      const [file = "", fragment] = target.split("#", 2);
      const linked = file === "" ? path : join(dirname(path), decodeURIComponent(file)).split(sep).join("/");
      if (!existsSync(join(ROOT, linked))) return true;
      const known = linked === path ? anchors : documents.get(linked)?.anchors;
      return fragment !== undefined && !(known?.includes(fragment) ?? false);
    });
    expect(broken).toEqual([]);
  });

  test.each([...documents].filter(([path]) => !GENERATED.includes(path)))("%s has short lines of prose", (_path, { lines }) => {
    const end = lines.findIndex(({ text }) => text.startsWith(GENERATED_FROM));
    const written = end < 0 ? lines : lines.slice(0, end);
    const long = written.filter(
      ({ text, kind }) => kind === "prose" && Array.from(text).length > MAX_COLUMNS && !isOneAddress(text),
    );
    expect(long.map(({ number, text }) => `${number}: ${text.slice(0, 60)}…`)).toEqual([]);
  });
});

describe("signposts", () => {
  test.each(SIGNPOSTS)("%s names paths that exist", (path) => {
    const named = documents
      .get(path)!
      .codeSpans.filter((span) => /^(?:src|tests|bench|scripts|docs|presets|schema)\/[\w./-]+$/.test(span));
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  });
});

/** A line that is nothing but one long address, as a list item perhaps. */
function isOneAddress(text: string): boolean {
  return /^\s*(?:[-*] )?<?https?:\/\/\S+>?$/.test(text);
}
