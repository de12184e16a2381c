/**
 * @file Formatting of texts and numbers in a model card.
 */

/**
 * Sanitises a user's text for a line or table cell: removes line breaks and characters with a meaning in Markdown or
 * HTML.
 */
export function inline(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/[|`<>[\]\\*]/g, "")
    .trim();
}

/** An integer with thousands separators. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** A share as a percentage with one decimal. */
export function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)}%`;
}

/** Bytes in megabytes (10⁶) with one decimal. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
