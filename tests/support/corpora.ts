/**
 * @file Reads corpora as the program does, with a template that shows the turns of a chat, and keeps what was reported.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { ChatTemplate } from "../../src/corpora/chat-template.ts";
import type { SourceReport, TextDocument } from "../../src/corpora/corpus.ts";
import { readDocuments } from "../../src/corpora/read-documents.ts";

/** Writes every turn as `<role>content`, and refuses roles that it does not know. */
export const chatTemplate: ChatTemplate = {
  source:
    "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant', 'tool'] %}" +
    "{{ raise_exception('role ' + m.role) }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}" +
    "{% if tools %}|{{ tools | length }}{% endif %}",
  tokens: {},
  where: "model",
};

/** Files of one test file, in a folder that is removed after its tests. */
export class CorpusFolder {
  readonly path: string = mkdtempSync(join(tmpdir(), "cusprun-corpora-"));

  constructor() {
    afterAll(() => rmSync(this.path, { recursive: true }));
  }

  /** Writes a file, and returns its path. */
  async write(name: string, content: string | Uint8Array): Promise<string> {
    const path = join(this.path, name);
    await writeFile(path, content);
    return path;
  }
}

/** Rows as JSON Lines. */
export function jsonl(...rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

/** All documents of a spec, and the report on them. */
export async function readAll(
  spec: string,
  template: ChatTemplate | null = chatTemplate,
): Promise<{ readonly documents: readonly TextDocument[]; readonly report: SourceReport }> {
  const documents: TextDocument[] = [];
  const reports: SourceReport[] = [];
  const onReport = (report: SourceReport): unknown => reports.push(report);
  for await (const document of readDocuments(spec, { chatTemplate: template, onReport })) documents.push(document);
  return { documents, report: reports[0]! };
}

/** The texts of a spec. */
export async function textsOf(spec: string, template: ChatTemplate | null = chatTemplate): Promise<string[]> {
  return (await readAll(spec, template)).documents.map(({ text }) => text);
}
