/**
 * @file Results as text.
 */

import type { ModelDescription } from "../checkpoint/inspect.ts";
import type { SelectedPlan } from "../pipeline/steps.ts";
import { renderComparison } from "../report/comparison-table.ts";
import { renderEstimate } from "../report/estimate-table.ts";
import { renderEvaluation } from "../report/evaluation-table.ts";
import { formatBytes, formatCount, formatPercent, formatSpan } from "../report/format.ts";
import { renderSources } from "../report/source-table.ts";
import { shellPath } from "../shell.ts";
import { renderVerifications } from "../report/verification-table.ts";
import { renderColumns, renderReport, renderUnitTable, renderVocabulary } from "../report/table.ts";
import type { JobResult } from "./job-result.ts";
import { renderCache } from "./render-cache.ts";

/** Renders a command's result, without a final newline. */
export function renderResult(result: JobResult): string {
  switch (result.command) {
    case "prune":
      return renderReport(result.value);
    case "dry run":
      return renderEstimate(result.value);
    case "inspect":
      return renderModel(result.value);
    case "fetch":
      return result.value.path;
    case "score": {
      const { out, kinds, documents, corpora } = result.value;
      const counts = Object.entries(documents).map(([dimension, count]) => [`  ${dimension}`, `${count} documents`]);
      return [
        `Scored ${kinds.join(", ")} on`,
        ...renderColumns(counts, 1),
        ...renderSources(corpora),
        "",
        `Wrote ${out}. Next:`,
        `  cusprun select ${shellPath(out)} --reduce 25% --out plan.json`,
      ].join("\n");
    }
    case "select":
      return renderPlan(result.value);
    case "apply": {
      const { out, parameters, parts, files, notes } = result.value;
      const sizes = parts.map(({ label, bytes }) => `${label} ${formatBytes(bytes.after)}`).join(", ");
      const written = `Wrote ${out}: ${formatCount(parameters)} parameters, ${sizes}, ${files.length} files`;
      return [written, ...notes.map((note) => `note: ${note}`)].join("\n");
    }
    case "export": {
      const { out, parameters, fileBytes } = result.value;
      const size = `Wrote ${out}: ${formatCount(parameters)} parameters, ${formatBytes(fileBytes)}`;
      if (result.value.to !== "gguf") return `${size} as ${result.value.type}, ${result.value.files.length} files`;
      const { type, architecture, modelfile } = result.value;
      const how = type === "as stored" ? "in the types of the input" : `as ${type}`;
      return `${size} ${how}, architecture ${architecture}\nWrote ${modelfile} for Ollama`;
    }
    case "verify": {
      const { expert, agrees, verifications } = result.value;
      const nobody = verifications.every(({ status }) => status === "absent");
      const verdict = nobody ? "No runtime is installed." : agrees ? "All installed runtimes agree." : "Not all runtimes agree.";
      return `${renderVerifications(expert, verifications)}\n\n${verdict}`;
    }
    case "eval": {
      const { model, against, tasks, out } = result.value;
      const table = renderEvaluation(model, against, tasks);
      return out === null ? table : `${table}\n\nWrote ${out}`;
    }
    case "compare": {
      const { out, files, made, reused } = result.value;
      const runs = `${made} ${made === 1 ? "run" : "runs"} completed${reused === 0 ? "" : `, ${reused} reused`}`;
      return `${renderComparison(result.value)}\n\nWrote ${out}: ${files.join(", ")} (${runs})`;
    }
    case "cache":
      return renderCache(result.value);
    default:
      throw result satisfies never;
  }
}

function renderPlan(plan: SelectedPlan): string {
  const { parameters, layout, budget, out } = plan;
  const layers = plan.units[0]?.removedPerLayer.length ?? 0;
  const removed = formatCount(parameters.removed);
  const share = formatPercent(parameters.removed / parameters.total);
  return [
    `${layout}, budget ${budget}: removes ${removed} of ${formatCount(parameters.total)} parameters (${share})`,
    "",
    ...renderVocabulary(plan.vocabulary),
    ...renderUnitTable(plan.units, layers, layout),
    "",
    `Wrote ${out}. Next:`,
    `  cusprun apply MODEL --plan ${shellPath(out)} --out DIR`,
  ].join("\n");
}

function renderModel(description: ModelDescription): string {
  const { path, format, config, parameters, unitsPerLayer, storedDTypes, bytesOnDisk, leftOut } = description;
  const part = (name: string, { parameters: count, share }: { parameters: number; share: number }): string[] => [
    `  ${name}`,
    formatCount(count),
    formatPercent(share),
  ];
  const size = bytesOnDisk === null ? "no weights" : formatBytes(bytesOnDisk);
  const dtypes = storedDTypes.map(({ dtype, bytes }) => `${dtype} ${formatBytes(bytes)}`).join(", ");
  return [
    path,
    `${config.family}, ${format}, ${size}${dtypes === "" ? "" : `: ${dtypes}`}`,
    ...(leftOut === null
      ? []
      : [`text only: ${leftOut.parts.join(", ")} left out (${formatCount(leftOut.parameters)} parameters)`]),
    "",
    ...renderColumns(
      [
        ["parameters", formatCount(parameters.total), ""],
        part("vocabulary", parameters.vocabulary),
        part("attention", parameters.attention),
        part("ffn", parameters.ffn),
        part("norms", parameters.norms),
      ],
      1,
    ),
    "",
    ...renderColumns(
      [
        ["layers", String(config.numHiddenLayers)],
        ["hidden size", String(config.hiddenSize)],
        ["head size", String(config.headDim)],
        ["vocabulary", String(config.vocabSize)],
        ["context", String(config.maxPositionEmbeddings)],
        ...Object.entries(unitsPerLayer).map(([kind, counts]) => [`${kind} units per layer`, formatSpan(counts)]),
      ],
      1,
    ),
  ].join("\n");
}
