/**
 * @file The public API of cusprun, in the order of the data's way: model in, text in, scoring, selection, surgery, export, evaluation, and
 * all of it in one.
 */

// Model in: a name, id or path → an opened checkpoint, without reading a weight.
export { resolveModel } from "./checkpoint/resolve.ts";
export type { ResolveOptions } from "./checkpoint/resolve.ts";
export { fetchCatalogModel } from "./checkpoint/hub/catalog.ts";
export type { CatalogOptions } from "./checkpoint/hub/catalog.ts";
export { openCheckpoint } from "./checkpoint/open.ts";
export type {
  Checkpoint,
  GgmlQuantType,
  GgufOrigin,
  RowRange,
  RowReader,
  StoredDType,
  TensorInfo,
  TokenizerFiles,
} from "./checkpoint/checkpoint.ts";
export type { GgufArray, GgufMetadata, GgufValue } from "./checkpoint/gguf/values.ts";
export type { LayerSizes, LayerType, ModelConfig, RopeConfig, RopeScaling } from "./checkpoint/config/model-config.ts";
export type { BlockRole } from "./families/roles.ts";
export type { FamilyName } from "./families/family.ts";
export { describeModel } from "./checkpoint/inspect.ts";
export type { DTypeDescription, ModelDescription, PartDescription } from "./checkpoint/inspect.ts";

// Text in: presets and files → tokenised documents, some of them held back.
export { createTokenizer } from "./corpora/tokenizer.ts";
export type { Tokenizer } from "./corpora/tokenizer.ts";
export { presetNames } from "./corpora/presets.ts";
export { loadCorpora } from "./corpora/load.ts";
export type { CorpusOptions, CorpusSpecs } from "./corpora/load.ts";
export { DIMENSIONS } from "./corpora/corpus.ts";
export type { Corpus, Dimension, TokenDocument } from "./corpora/corpus.ts";

// Scoring: checkpoint + corpora → relevance of every unit to every document.
export { scoreCorpora } from "./scoring/score.ts";
export type { ScoreOptions } from "./scoring/score.ts";
export { defaultMemoryLimit, planMemory } from "./model/memory-plan.ts";
export type { MemoryPlan, MemoryRequest } from "./model/memory-plan.ts";
export type { WeightSource } from "./model/layer-program.ts";
export type { MapChange } from "./model/block-energies.ts";
export { openScores } from "./scoring/scores-file.ts";
export { MATRIX_KINDS, UNIT_KINDS } from "./model/units.ts";
export type { MatrixKind, RelevanceKind, UnitKind } from "./model/units.ts";
export type { RelevanceScores, ScoredDocument, TokenRelevance, VocabularyRelevance } from "./scoring/relevance.ts";
export type { VocabularyFacts } from "./scoring/token-relevance.ts";
export type { DimensionCounts } from "./corpora/token-counts.ts";

// Selection: relevances + budget → plan.
export { selectUnits } from "./selection/select.ts";
export type { SelectionOptions } from "./selection/selection-options.ts";
export type { CutTrial, MeasuredTrial } from "./selection/damage.ts";
export { METHOD_NAMES, METHODS } from "./selection/methods/index.ts";
export type { MethodName } from "./selection/methods/index.ts";
export type { Method, MethodDefaults } from "./selection/methods/method.ts";
export type { VocabularyChoice } from "./selection/select-vocabulary.ts";
export { readPlan, writePlan } from "./selection/plan-file.ts";
export { ALLOCATIONS, LAYOUTS } from "./selection/plan.ts";
export type {
  Allocation,
  CutKind,
  Granularity,
  LayerCut,
  LayerPlan,
  Layout,
  PlannedCut,
  PrunePlan,
  RemovedFromLayer,
  RemovedTokens,
  RemovedUnits,
  VocabularyCut,
} from "./selection/plan.ts";

// Surgery and export: checkpoint + plan → expert → a folder that stock transformers loads.
export { cutExpert } from "./surgery/expert.ts";
export type { Expert, ExpertTensor } from "./surgery/expert.ts";
export { plannedTokenIds } from "./surgery/expert-tokenizer.ts";
export type { TokenIdMap } from "./surgery/trim-tokenizer.ts";
export { readRepairReport, repairExpert, withRepair } from "./surgery/repair.ts";
export type { RepairedMatrix, RepairSummary } from "./surgery/repair.ts";
export { REPAIR_STEPS } from "./surgery/repair-steps.ts";
export type { RepairStep } from "./surgery/repair-steps.ts";
export { SafetensorsFile } from "./checkpoint/safetensors/read.ts";
export type { SafetensorsEntry } from "./checkpoint/safetensors/header.ts";
export { writeHuggingFaceFolder } from "./export/hugging-face/write-hugging-face.ts";
export type { HuggingFaceOptions, WrittenFolder, WrittenWeights } from "./export/hugging-face/write-hugging-face.ts";
export type { ExpertFolderOptions } from "./export/expert-folder.ts";
export type { WrittenGgufPart } from "./export/gguf/part.ts";
export type { WrittenPart } from "./export/model-card.ts";
export { expertCheckpoint } from "./surgery/expert-checkpoint.ts";
export type { CardCorpus, ModelCardInput } from "./export/model-card.ts";
export { exportGguf } from "./export/gguf/export-gguf.ts";
export type { GgufOptions, WrittenGgufFile } from "./export/gguf/export-gguf.ts";
export { GGUF_FILE_TYPES } from "./export/gguf/types.ts";
export type { GgufFileType, GgufStorage } from "./export/gguf/types.ts";
export { quantize } from "./export/gguf/ggml-quantize.ts";
export type { WrittenGgmlType } from "./export/gguf/ggml-quantize.ts";
export type { WrittenOnnxPart } from "./export/onnx/part.ts";
export { exportOnnx } from "./export/onnx/export-onnx.ts";
export type { OnnxOptions, WrittenOnnxFolder } from "./export/onnx/export-onnx.ts";
export type { WeightLimits } from "./export/onnx/writer.ts";
export { ONNX_TYPES } from "./export/onnx/types.ts";
export type { OnnxType } from "./export/onnx/types.ts";
export { EXPORT_FORMATS, EXPORT_TYPES, exportModel } from "./pipeline/export.ts";
export type { ExportedModel, ExportFormat, ExportOptions, ExportType } from "./pipeline/export.ts";
export type { FloatDType } from "./tensor.ts";

// Evaluation: perplexity on documents that chose nothing; evaluation files, with intervals and paired differences.
export { measureHeldOut } from "./evaluation/perplexity.ts";
export type { Perplexity } from "./evaluation/perplexity.ts";
export { EXTRACTS, GENERATION_METRICS, readTask, readTasks, TASK_TYPES } from "./evaluation/task-file.ts";
export type {
  Extract,
  GenerationItem,
  GenerationMetric,
  MultipleChoiceItem,
  PerplexityItem,
  Task,
  TaskItem,
  TaskType,
} from "./evaluation/task-file.ts";
export { measureTasks } from "./evaluation/measure-tasks.ts";
export type { MeasureTasksOptions } from "./evaluation/measure-tasks.ts";
export type { ChoiceScore, GenerationScore, ItemScore, TextScore } from "./evaluation/item-scores.ts";
export { FIGURE_NAMES, summarizeTask } from "./evaluation/summarize-task.ts";
export type { FigureName, TaskResult } from "./evaluation/summarize-task.ts";
export type { Difference, Figure, Interval } from "./evaluation/intervals.ts";
export { evaluateModel } from "./pipeline/evaluate.ts";
export type { EvaluateOptions, EvaluationReport } from "./pipeline/evaluate.ts";

// Comparison: methods of pruning side by side.
export { compareMethods } from "./pipeline/compare-methods.ts";
export type { ComparisonReport } from "./pipeline/compare-methods.ts";
export type { CompareOptions, MethodVariant } from "./pipeline/comparison-plan.ts";
export { COMPARISON_FORMAT } from "./report/method-comparison.ts";
export type { ComparisonSettings, MethodComparison, MethodRun } from "./report/method-comparison.ts";
export { renderComparison } from "./report/comparison-table.ts";

// Verification: what stock runtimes make of what was written.
export { verifyExpert } from "./pipeline/verify.ts";
export type { VerificationReport, VerifyExpertOptions } from "./pipeline/verify.ts";
export type { Verification, VerificationStatus } from "./verification/verify.ts";
export type { Comparison } from "./verification/compare.ts";

// All of it in one, and its steps from file to file.
export { pruneModel } from "./pipeline/prune.ts";
export type { PruneOptions } from "./pipeline/prune.ts";
export type { ModelExtras } from "./pipeline/model.ts";
export type { SelectionChoice } from "./pipeline/selection-step.ts";
export type { PerplexityByDimension } from "./pipeline/measure-step.ts";
export { EXPERT_FORMATS } from "./pipeline/writing-step.ts";
export type { ExpertFormat, ExpertPart, WriteOptions, WrittenExpert } from "./pipeline/writing-step.ts";
export { applyPlan, scoreModel, selectFromScores } from "./pipeline/steps.ts";
export type {
  AppliedPlan,
  ApplyPlanOptions,
  ScoredModel,
  ScoreModelOptions,
  SelectedPlan,
  SelectFromScoresOptions,
} from "./pipeline/steps.ts";
export { renderReport } from "./report/table.ts";
export type {
  DimensionReport,
  MemoryReport,
  PerplexityFigure,
  PruneReport,
  UnitReport,
  VocabularyReport,
  WrittenReport,
} from "./report/report.ts";

// What every function shares.
export { CusprunError, ERROR_CODES, EXIT_CODES } from "./errors.ts";
export type { ErrorClass, ErrorCode, ErrorParts } from "./errors.ts";
export type { JobOptions, ProgressEvent } from "./progress.ts";
export { DEVICES } from "./device.ts";
export type { Device } from "./device.ts";
