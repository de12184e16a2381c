/**
 * @file Runs the commands in the worker thread: settings → options of a library function → its result.
 */

import { parseByteSize } from "../byte-size.ts";
import { fetchCatalogModel } from "../checkpoint/hub/catalog.ts";
import { describeModel } from "../checkpoint/inspect.ts";
import { resolveModel } from "../checkpoint/resolve.ts";
import type { CorpusOptions, CorpusSpecs } from "../corpora/load.ts";
import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";
import { type CacheReport, describeCache, pruneCache } from "../pipeline/cache-prune.ts";
import { defined } from "../pipeline/defined.ts";
import { compareMethods } from "../pipeline/compare-methods.ts";
import { evaluateModel } from "../pipeline/evaluate.ts";
import { EXPORT_TYPES, exportModel, knownType } from "../pipeline/export.ts";
import { estimatePrune } from "../pipeline/estimate-prune.ts";
import type { PruneOptions } from "../pipeline/prepare-prune.ts";
import { pruneModel } from "../pipeline/prune.ts";
import { methodsFor, type SelectionChoice } from "../pipeline/selection-step.ts";
import { applyPlan, scoreModel, selectFromScores } from "../pipeline/steps.ts";
import { verifyExpert } from "../pipeline/verify.ts";
import type { WriteOptions } from "../pipeline/writing-step.ts";
import type { JobOptions } from "../progress.ts";
import { isNothing, parseBudget } from "../selection/budget.ts";
import type { VocabularyChoice } from "../selection/select-vocabulary.ts";
import type { FloatDType } from "../tensor.ts";
import type { JobResult } from "./job-result.ts";
import type { Settings } from "./settings.ts";
import type { Job } from "./protocol.ts";
import { parseShare } from "./share.ts";
import { usageError } from "./usage-error.ts";

/**
 * Runs a command.
 * @param onPlan receives the stages of a run that plans them.
 * @throws CusprunError what the library function throws, and `USAGE` for an invalid setting.
 */
export async function runCommand(
  { command, subject, settings }: Job,
  progress: JobOptions,
  onPlan: NonNullable<PruneOptions["onPlan"]>,
): Promise<JobResult> {
  const { memory, device } = settings;
  const job = {
    ...progress,
    ...defined({ device, memoryLimit: memory === undefined ? undefined : parseByteSize(memory, "--memory") }),
  };
  switch (command) {
    case "prune": {
      const { maps: mapChange, repair, measure, method, work } = settings;
      const { "general-share": generalShare, "vocabulary-corpus": vocabularyCorpus } = settings;
      const options: PruneOptions = {
        ...job,
        ...writing(settings),
        ...reading(settings),
        ...defined({ mapChange, repair, generalShare, measure, method, work, vocabularyCorpus }),
        model: subject,
        selection: choosing(settings),
      };
      if (settings["dry-run"] === true) return { command: "dry run", value: await estimatePrune(options) };
      return { command, value: await pruneModel({ ...options, onPlan }) };
    }
    case "inspect":
      return { command, value: await describeModel(await resolveModel(subject, job)) };
    case "fetch":
      return { command, value: { path: await fetchCatalogModel(subject, job) } };
    case "score": {
      const { granularity, units: kinds, matrices, maps: mapChange, "vocabulary-corpus": vocabularyCorpus, work } = settings;
      const selection = defined({ granularity, kinds, matrices, vocabulary: vocabularyChoice(settings) });
      return {
        command,
        value: await scoreModel({
          ...job,
          ...output(settings),
          ...reading(settings),
          ...defined({ mapChange, vocabularyCorpus, work }),
          model: subject,
          selection,
        }),
      };
    }
    case "select": {
      const { dimensions } = settings;
      const options = { ...job, ...output(settings), ...defined({ dimensions, dtype: dtypeOf(settings) }) };
      return { command, value: await selectFromScores({ ...options, scores: subject, selection: choosing(settings) }) };
    }
    case "apply":
      return {
        command,
        value: await applyPlan({
          ...job,
          ...writing(settings),
          ...reading(settings),
          ...defined({ work: settings.work, generalShare: settings["general-share"] }),
          model: subject,
          plan: settings.plan ?? "",
        }),
      };
    case "export": {
      const { to = "gguf", type } = settings;
      return { command, value: await exportModel({ ...job, ...output(settings), ...defined({ type }), model: subject, to }) };
    }
    case "verify": {
      const { against, "trust-remote-code": trustRemoteCode } = settings;
      return { command, value: await verifyExpert({ ...job, ...defined({ against, trustRemoteCode }), expert: subject }) };
    }
    case "eval": {
      const { tasks = [], limit, against, window: maxTokens, out, overwrite } = settings;
      return {
        command,
        value: await evaluateModel({ ...job, model: subject, tasks, ...defined({ limit, against, maxTokens, out, overwrite }) }),
      };
    }
    case "compare": {
      const { budgets = [], seeds, repair, tasks, limit, window: maxTokens, keep, work } = settings;
      const { corpora, corpusOptions } = reading(settings);
      const choice = choosing(settings);
      const { methods = methodsFor(choice, repair) } = settings;
      const { budget: _, ...selection } = choice;
      const value = await compareMethods({
        ...job,
        ...output(settings),
        ...defined({ seeds, repair, tasks, limit, maxTokens, keep, work }),
        model: subject,
        corpora,
        corpusOptions,
        methods,
        budgets,
        selection,
      });
      return { command, value };
    }
    case "cache":
      return { command, value: await tendCache(settings) };
    default:
      throw command satisfies never;
  }
}

function tendCache({ prune = false, all, "cache-limit": limit, "dry-run": dryRun }: Settings): Promise<CacheReport> {
  const limitBytes = limit === undefined ? undefined : parseByteSize(limit, "--cache-limit");
  const needing = Object.entries({ "--all": all, "--cache-limit": limit, "--dry-run": dryRun });
  const [flag] = needing.find(([, value]) => value !== undefined && value !== false) ?? [];
  if (!prune && flag !== undefined) throw usageError("command line", `${flag} without --prune`, "--prune", "Add --prune");
  return prune ? pruneCache(defined({ all, limitBytes, dryRun })) : describeCache();
}

/** `main` has checked that the required options are set; an empty path is rejected when it is opened. */
function output({ out = "", overwrite }: Settings): { out: string; overwrite?: boolean } {
  return defined({ out, overwrite });
}

function writing(settings: Settings): WriteOptions {
  const size = settings["max-shard-size"];
  const maxShardBytes = size === undefined ? undefined : parseByteSize(size, "--max-shard-size");
  const { formats } = settings;
  return { ...output(settings), ...defined({ formats, dtype: dtypeOf(settings), maxShardBytes }), ...typeOf(settings) };
}

/** GGUF and ONNX have no type name in common, so the name decides which format a type is for. */
function typeOf({ formats, type }: Settings): Pick<WriteOptions, "type" | "onnxType"> {
  if (type === undefined) return {};
  const isOnnx = formats?.includes("onnx") === true && (EXPORT_TYPES.onnx as readonly string[]).includes(type);
  return isOnnx
    ? defined({ onnxType: knownType(EXPORT_TYPES.onnx, type, "onnx") })
    : defined({ type: knownType(EXPORT_TYPES.gguf, type, "gguf") });
}

function dtypeOf({ dtype }: Settings): FloatDType | undefined {
  return dtype?.toUpperCase() as FloatDType | undefined;
}

function reading(settings: Settings): { corpora: CorpusSpecs; corpusOptions: CorpusOptions } {
  const { language, domain, task, documents, "held-out": heldOutDocuments, "max-tokens": maxTokens, seed } = settings;
  return {
    corpora: defined({ language, domain, task }),
    corpusOptions: defined({ documents, heldOutDocuments, maxTokens, seed }),
  };
}

function choosing(settings: Settings): SelectionChoice {
  const vocabulary = vocabularyChoice(settings);
  const removesTokens = vocabulary !== undefined && vocabulary !== "keep";
  const { reduce, budgets = [] } = settings;
  for (const amount of reduce === undefined ? budgets : [reduce]) if (!removesTokens) checkSomething(amount);
  const { granularity, units: kinds, matrices, allocation, floor, snap, aggregate, weights } = settings;
  // Removing single rows and columns of a matrix, as in the paper, does not make it smaller.
  const layout = settings.layout ?? (granularity === "matrix" ? "masked" : "uniform");
  const chosen = { granularity, kinds, matrices, allocation, floor, snap, aggregate, weights, vocabulary };
  return { budget: reduce ?? "", layout, ...defined(chosen) };
}

/** Refuses an amount of nothing: the expert would be a copy, after the work of scoring. */
function checkSomething(amount: string): void {
  if (!isNothing(parseBudget(amount))) return;
  const expected = "an amount above 0";
  const remedy = "Request more, or, to remove tokens alone, pass --vocabulary SIZE as well";
  throw new CusprunError("BUDGET_INVALID", {
    where: "budget",
    found: `${showValue(amount)}, which removes nothing`,
    expected,
    remedy,
  });
}

function vocabularyChoice(settings: Settings): VocabularyChoice | undefined {
  const { "keep-vocabulary": keep = false, vocabulary: size, "vocabulary-coverage": coverage } = settings;
  const given = [keep, size !== undefined, coverage !== undefined].filter(Boolean);
  if (given.length > 1) {
    throw usageError(
      "vocabulary",
      "several of --keep-vocabulary, --vocabulary and --vocabulary-coverage",
      "one of them",
      "Pass only one of these options",
    );
  }
  if (keep) return "keep";
  if (size !== undefined) return { size };
  return coverage === undefined ? undefined : { coverage: parseShare(coverage, "vocabulary-coverage") };
}
