/**
 * @file As much of Markdown as the tests of the documentation need: which lines are prose, the headings with their
 * anchors, the links, and the code in the text. Source: CommonMark 0.31 for blocks and links, GitHub for tables and for
 * the anchors of headings.
 */

/**
 * A line, and what it is part of. Link definitions and headings are kinds of their own, since nothing can wrap them.
 */
export interface MarkdownLine {
  /** From 1. */
  readonly number: number;
  readonly text: string;
  readonly kind: "prose" | "heading" | "table" | "code" | "definition" | "blank";
}

/** A document, taken apart. */
export interface MarkdownDocument {
  readonly lines: readonly MarkdownLine[];
  /** Texts of the headings, as written, in their order. */
  readonly headings: readonly string[];
  /** What a link's fragment can name: one for each heading. */
  readonly anchors: readonly string[];
  /** Targets of links, images and link definitions. */
  readonly links: readonly string[];
  /** Contents of code spans outside of code blocks. */
  readonly codeSpans: readonly string[];
}

/** Spaces that make a line code, beyond those of the list that it is in. */
const CODE_INDENT = 4;

/** Takes a document apart. */
export function readMarkdown(text: string): MarkdownDocument {
  const lines = classify(text.replaceAll("\r\n", "\n").split("\n"));
  const headings = lines.flatMap((line) => (line.kind === "heading" ? [line.text.replace(/^#+ +/, "").trim()] : []));
  const running = lines.map(({ kind, text: line }) => (kind === "code" ? "" : line)).join("\n");
  const codeSpans = [...running.matchAll(/(`+)(.+?)\1/g)].map(([, , code = ""]) => code.trim());
  const withoutCode = running.replaceAll(/(`+)(.+?)\1/g, "code");
  const inline = [...withoutCode.matchAll(/\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const definitions = [...withoutCode.matchAll(/^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)/gm)];
  const links = [...inline, ...definitions].map(([, target = ""]) => target);
  return { lines, headings, anchors: anchorsOf(headings), links, codeSpans };
}

function classify(texts: readonly string[]): MarkdownLine[] {
  let fence: string | null = null;
  /** Column of the text of the innermost list item. */
  let listIndent = 0;
  let previous: MarkdownLine["kind"] = "blank";
  return texts.map((text, index) => {
    const line = (kind: MarkdownLine["kind"]): MarkdownLine => {
      previous = kind;
      return { number: index + 1, text, kind };
    };
    const marker = /^\s*(```+|~~~+)/.exec(text)?.[1];
    if (fence !== null) {
      if (marker?.startsWith(fence) === true && text.trim() === marker) fence = null;
      return line("code");
    }
    if (marker !== undefined) {
      fence = marker;
      return line("code");
    }
    if (text.trim() === "") {
      // A blank line inside of code belongs to it, as far as what follows is concerned.
      return { number: index + 1, text, kind: previous === "code" ? "code" : line("blank").kind };
    }
    const indent = text.search(/\S/);
    const item = /^\s*(?:[-*+]|\d+[.)])\s+/.exec(text)?.[0];
    if ((previous === "blank" || previous === "code") && indent >= listIndent + CODE_INDENT) return line("code");
    if (item !== undefined) listIndent = item.length;
    else if (indent < listIndent && (previous === "blank" || previous === "code")) listIndent = indent;
    if (/^#{1,6} /.test(text)) {
      listIndent = 0;
      return line("heading");
    }
    if (/^\s*\|/.test(text)) return line("table");
    return line(/^ {0,3}\[[^\]]+\]: /.test(text) ? "definition" : "prose");
  });
}

/**
 * GitHub's anchors: letters, digits, hyphens and underscores of the heading in lower case, spaces as hyphens; a
 * repeated one gets a number.
 */
function anchorsOf(headings: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return headings.map((heading) => {
    const visible = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    const base = visible
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}\s_-]/gu, "")
      .replaceAll(/\s/g, "-");
    const count = seen.get(base) ?? 0;
    seen.set(base, count + 1);
    return count === 0 ? base : `${base}-${count}`;
  });
}
