/**
 * @file Formatting of counts, bytes, durations and ratios, and padding of text by its display width on a terminal.
 */

const GRAPHEMES: Intl.Segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Scripts and symbols that occupy two columns on a terminal (Unicode Standard Annex 11, East Asian Width W and F). */
const WIDE: RegExp = new RegExp(
  "[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\u33ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\ua000-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff" +
    "\\ufe30-\\ufe4f\\uff00-\\uff60\\uffe0-\\uffe6]|\\p{Emoji_Presentation}|[\\u{20000}-\\u{3fffd}]",
  "u",
);

/** Characters that occupy no column: combining marks, controls, format characters. */
const ZERO_WIDTH: RegExp = /^[\p{Mn}\p{Me}\p{Cc}\p{Cf}]+$/u;

/** Printable ASCII: a column each, without looking for graphemes, which takes microseconds a character. */
const PLAIN = /^[ -~]*$/;
/** A longer text fits no table, and is not measured. */
const MAX_MEASURED = 1000;

/** Number of columns that a text occupies on a terminal; 2 for each wide (CJK, emoji) character. */
export function displayWidth(text: string): number {
  if (PLAIN.test(text) || text.length > MAX_MEASURED) return text.length;
  let width = 0;
  for (const { segment } of GRAPHEMES.segment(text)) {
    if (ZERO_WIDTH.test(segment)) continue;
    width += WIDE.test(segment) ? 2 : 1;
  }
  return width;
}

/** Pads a text with spaces on the right to `width` columns; a longer text is returned unchanged. */
export function padRight(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - displayWidth(text)));
}

/** Pads a text with spaces on the left to `width` columns; a longer text is returned unchanged. */
export function padLeft(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - displayWidth(text))) + text;
}

/** A count with a decimal suffix and at least three significant digits: `134.5M`, `12.3k`, `987`. */
export function formatCount(count: number): string {
  return scaled(count, 1000, ["", "k", "M", "B", "T"]);
}

/** Bytes in binary units: `93.8 MiB`. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
}

/** A duration in its two largest units: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A share as a percentage with one decimal: `24.9%`. */
export function formatPercent(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}

/** A perplexity with two decimals below 1000 and none above; `∞` if it overflowed. */
export function formatPerplexity(value: number): string {
  if (!Number.isFinite(value)) return "∞";
  return value < 1000 ? value.toFixed(2) : Math.round(value).toLocaleString("en-US");
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let rest = value;
  let unit = 0;
  // 0.9995 of a step already rounds up to the next unit ("1000k" would look like a mistake).
  while (Math.abs(rest) >= step * 0.9995 && unit < units.length - 1) {
    rest /= step;
    unit += 1;
  }
  const text =
    unit === 0
      ? String(Math.round(rest))
      : rest.toFixed(Math.abs(rest) < 100 ? (Math.abs(rest) < 10 ? 2 : 1) : step === 1000 ? 1 : 0);
  return text + (units[unit] ?? "");
}

/** `1536`, or `480–1536` if the values differ. */
export function formatSpan(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? String(least) : `${least}–${most}`;
}
