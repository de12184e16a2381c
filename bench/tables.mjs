/** @file Markdown tables, medians and means for the results of benchmarks. */

/** A Markdown table of cells. */
export function table(header, rows) {
  return [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** The geometric mean. */
export function geometricMean(numbers) {
  return Math.exp(numbers.reduce((sum, value) => sum + Math.log(value), 0) / numbers.length);
}

/** The median; for an even count the upper of the two middle values. */
export function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}
