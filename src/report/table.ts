/**
 * @file The closing table: `PruneReport` → plain text, at most 100 columns wide unless labels are longer.
 */

import {
  displayWidth,
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatPerplexity,
  padLeft,
  padRight,
  formatSpan,
} from "./format.ts";
import { ONNX_PART_FOLDER } from "../export/onnx/part.ts";
import type { Layout } from "../selection/plan.ts";
import { shellPath, shellWord } from "../shell.ts";
import type { PruneReport, UnitReport, VocabularyReport, WrittenReport } from "./report.ts";
import { renderSources } from "./source-table.ts";

/**
 * Renders rows as aligned columns, two spaces apart. The first `textColumns` are left-aligned, the others
 * right-aligned.
 */
export function renderColumns(rows: readonly (readonly string[])[], textColumns: number): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, displayWidth(cell))));
  return rows.map((row) =>
    row
      .map((cell, i) => (i < textColumns ? padRight(cell, widths[i] ?? 0) : padLeft(cell, widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

/**
 * Renders the closing table of a run, without a final newline.
 * @example
 * ```ts
 * import { pruneModel, renderReport } from "cusprun";
 *
 * const report = await pruneModel({
 *   model: "smollm2",
 *   corpora: { domain: ["texts/contracts.jsonl"] },
 *   selection: { budget: "25% of blocks", layout: "ragged" },
 *   out: "experts/contracts",
 * });
 * console.log(renderReport(report));
 * ```
 */
export function renderReport(report: PruneReport): string {
  const sections = [
    renderSizes(report),
    renderSources(report.dimensions),
    renderHeldOut(report),
    renderVocabulary(report.vocabulary),
    renderUnitTable(report.units, report.layers, report.layout),
    renderOverlap(report),
    report.notes.map((note) => `note: ${note}`),
  ];
  return [...sections.filter((lines) => lines.length > 0), renderWhereabouts(report)]
    .map((lines) => lines.join("\n"))
    .join("\n\n");
}

function renderSizes({ model, family, parameters, input, written, layout, budget }: PruneReport): string[] {
  const header = ["", "before", "after", "change"];
  const rows = [
    ["parameters", formatCount(parameters.before), formatCount(parameters.after), change(parameters.before, parameters.after)],
    ...written.map(({ label, before, after }) => [
      label,
      before === null ? "" : formatBytes(before),
      formatBytes(after),
      before === null ? "" : change(before, after),
    ]),
  ];
  if (layout === "masked") {
    const left = parameters.before - parameters.removed;
    rows.splice(1, 0, ["not zero", formatCount(parameters.before), formatCount(left), change(parameters.before, left)]);
  }
  const stored = `${formatBytes(input.bytes)} as ${input.dtypes.join(", ")}`;
  return [`${model} (${family}, ${stored}), ${layout}, budget ${budget}`, "", ...renderColumns([header, ...rows], 1)];
}

/** Perplexity is per token: if the expert's vocabulary differs, bits per byte are shown instead. */
function renderHeldOut({ dimensions, vocabulary }: PruneReport): string[] {
  const measured = dimensions.filter(({ dense, expert }) => dense !== null && expert !== null);
  if (measured.length === 0) return [];
  const [figure, title, format] =
    vocabulary === null
      ? (["perplexity", "held-out perplexity", formatPerplexity] as const)
      : (["bitsPerByte", "held-out bits per byte", (value: number) => value.toFixed(3)] as const);
  const header = [title, "", "before", "after", "ratio", "documents"];
  const rows = measured.map(({ dimension, label, dense, expert, heldOutDocuments }) => {
    const [before, after] = [dense?.[figure] ?? Number.NaN, expert?.[figure] ?? Number.NaN];
    return [`  ${dimension}`, label, format(before), format(after), `${(after / before).toFixed(2)}×`, String(heldOutDocuments)];
  });
  return renderColumns([header, ...rows], 2);
}

/** Renders the change of the vocabulary. */
export function renderVocabulary(vocabulary: VocabularyReport | null): string[] {
  if (vocabulary === null) return [];
  const { before, after, splits } = vocabulary;
  const shares = Object.entries(splits).map(([dimension, share]) => `${dimension} ${(100 * share).toFixed(2)}%`);
  const sizes = `${before} tokens before, ${after} after (${formatPercent(after / before - 1)})`;
  return [`vocabulary: ${sizes}; estimated share of tokens split: ${shares.join(", ")}`];
}

/** Renders how many units of each kind were removed and kept per layer, or which layers were removed. */
export function renderUnitTable(units: readonly UnitReport[], layers: number, layout: Layout): string[] {
  if (units.length === 0) return ["No units were removed from the decoder blocks."];
  const whole = units.find(({ kind }) => kind === "layer");
  if (whole !== undefined) {
    const numbers = whole.removedPerLayer.flatMap((count, layer) => (count > 0 ? [layer] : []));
    return [`removed ${numbers.length} of ${layers} layers (numbered from 0): ${numbers.join(", ")}`];
  }
  const header = [`${layout === "masked" ? "zeroed" : "removed"} in ${layers} layers`, "per layer", "removed", "kept", "share"];
  return renderColumns([header, ...units.map(renderUnit)], 1);
}

function renderUnit({ kind, before, removedPerLayer }: UnitReport): string[] {
  const total = removedPerLayer.reduce((sum, n) => sum + n, 0);
  const share = total / before.reduce((sum, n) => sum + n, 0);
  const kept = before.map((n, layer) => n - removedPerLayer[layer]!);
  return [`  ${kind}`, formatSpan(before), formatSpan(removedPerLayer), formatSpan(kept), formatPercent(share)];
}

function renderOverlap({ overlap }: PruneReport): string[] {
  const pairs = Object.entries(overlap);
  if (pairs.length === 0) return [];
  return renderColumns(
    [["overlap of the irrelevant sets (Jaccard)", ""], ...pairs.map(([pair, jaccard]) => [`  ${pair}`, jaccard.toFixed(2)])],
    1,
  );
}

function renderWhereabouts({ layout, out, written, repair, scores, elapsedMs }: PruneReport): string[] {
  return [
    ...renderColumns(
      [
        ["repair", repair === null ? "none" : `${repair.fitted} of ${repair.tried} fits kept, on ${repair.documents} documents`],
        ["expert", out],
        ["scores", `${scores.path}${scores.reused ? " (reused)" : ""}`],
        ["time", formatDuration(elapsedMs)],
      ],
      2,
    ),
    "",
    "Try it:",
    ...written.map((part) => `  ${tryCommand(part, out, layout)}`),
  ];
}

function tryCommand({ format, files }: WrittenReport, out: string, layout: Layout): string {
  switch (format) {
    case "hf": {
      // Layers of different sizes need the folder's own Python file.
      const trust = layout === "ragged" ? ", trust_remote_code=True" : "";
      // A string of JSON is one of Python, and of JavaScript.
      const generate = `pipeline("text-generation", ${JSON.stringify(out)}${trust})("The doctor said", max_new_tokens=40)`;
      const script = `from transformers import pipeline; print(${generate}[0]["generated_text"])`;
      return `python3 -c ${shellWord(script)}`;
    }
    case "gguf":
      return `llama-cli -m ${shellPath(`${out}/${files[0] ?? ""}`)} -p 'The doctor said' -n 40`;
    case "onnx": {
      // A bare name would refer to the hub.
      const path = `${/^[./]/.test(out) ? "" : "./"}${out}/${ONNX_PART_FOLDER}`;
      const script = [
        `import { pipeline } from "@huggingface/transformers"`,
        `const write = await pipeline("text-generation", ${JSON.stringify(path)})`,
        `console.log((await write("The doctor said", { max_new_tokens: 40 }))[0].generated_text)`,
      ];
      return `node --input-type=module -e ${shellWord(script.join("; "))}`;
    }
    default:
      throw format satisfies never;
  }
}

function change(before: number, after: number): string {
  const share = before === 0 ? 0 : after / before - 1;
  return `${share > 0 ? "+" : ""}${formatPercent(share).replace("-0.0%", "0.0%")}`;
}
