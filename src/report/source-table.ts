/**
 * @file What was read of the corpora, as lines of text: which fields, and what was left out.
 */

import type { Dimension, SourceReport } from "../corpora/corpus.ts";
import { formatCount } from "./format.ts";

/** A source with nothing to say is not shown: plain text or the field `text`, all of it. */
export function renderSources(
  corpora: readonly { readonly dimension: Dimension; readonly sources: readonly SourceReport[] }[],
): string[] {
  const lines = corpora.flatMap(({ dimension, sources }) =>
    sources.filter(isNotable).map((source) => describe(dimension, source)),
  );
  return lines.length === 0 ? [] : ["read", ...lines];
}

function isNotable({ fields, withoutText, notes }: SourceReport): boolean {
  return fields.some((field) => field !== "text") || withoutText + notes.length > 0;
}

function describe(dimension: Dimension, { spec, documents, fields, withoutText, notes }: SourceReport): string {
  const from = fields.length === 0 ? "" : ` from ${fields.join(", ")}`;
  const parts = [
    `${formatCount(documents)} documents${from}`,
    ...(withoutText === 0 ? [] : [`${formatCount(withoutText)} rows without a text`]),
    ...notes,
  ];
  return `  ${dimension}  ${spec}: ${parts.join("; ")}`;
}
