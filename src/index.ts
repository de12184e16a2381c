/**
 * @file The stable core of cusprun, the entry point `cusprun`, in the order in which data passes through the program.
 *
 * Everything here is public: semantic versioning applies to it. A function, a parameter or a field of a result is
 * removed or changes its meaning only in a new major version (before 1.0: a new minor version). New functions, new
 * optional fields and new entries of the lists (`METHOD_NAMES`, `ERROR_CODES`, …) come in minor versions. The parts
 * that these functions are made of are in `cusprun/internals`, which carries no such promise.
 */

// Models: a path, a short name or a hub id → a path on this machine → an open checkpoint, or its sizes.
export { resolveModel } from "./checkpoint/resolve.ts";
export type { ResolveOptions } from "./checkpoint/resolve.ts";
export type { CatalogOptions } from "./checkpoint/hub/catalog.ts";
export { openCheckpoint } from "./checkpoint/open.ts";
export type {
  Checkpoint,
  GgmlQuantType,
  GgufOrigin,
  LeftOutTensors,
  RowRange,
  RowReader,
  StoredDType,
  TensorInfo,
  TokenizerFiles,
} from "./checkpoint/checkpoint.ts";
export type { ModelIdentity } from "./checkpoint/identity.ts";
export type { GgufArray, GgufMetadata, GgufValue } from "./checkpoint/gguf/values.ts";
export type { LayerSizes, LayerType, ModelConfig, RopeConfig, RopeScaling } from "./checkpoint/config/model-config.ts";
export type { BlockRole } from "./families/roles.ts";
export type { FamilyName } from "./families/family.ts";
export { describeModel } from "./checkpoint/inspect.ts";
export type { DTypeDescription, ModelDescription, PartDescription } from "./checkpoint/inspect.ts";

// Corpora: by dimension, names of presets and paths of files.
export { presetNames } from "./corpora/presets.ts";
export { DIMENSIONS } from "./corpora/corpus.ts";
export type { Dimension, SourceReport } from "./corpora/corpus.ts";
export type { CorpusOptions, CorpusSpecs } from "./corpora/load.ts";

// The whole run: model + corpora + budget → expert.
export { pruneModel } from "./pipeline/prune.ts";
export type { PruneOptions } from "./pipeline/prepare-prune.ts";
export { estimatePrune } from "./pipeline/estimate-prune.ts";
export type { ModelExtras } from "./pipeline/model.ts";
export type { SelectionChoice } from "./pipeline/selection-step.ts";
export { EXPERT_FORMATS } from "./pipeline/writing-step.ts";
export type { ExpertFormat, ExpertPart, WriteOptions } from "./pipeline/writing-step.ts";
export { renderReport } from "./report/table.ts";
export type {
  DimensionReport,
  MemoryReport,
  PerplexityFigure,
  PruneEstimate,
  PruneReport,
  UnitReport,
  VocabularyReport,
  WrittenReport,
} from "./report/report.ts";
export type { MemoryPlan } from "./model/memory-plan.ts";
export type { RepairSummary } from "./surgery/repair.ts";
export type { WrittenWeights } from "./export/hugging-face/write-hugging-face.ts";
export type { WrittenGgufPart } from "./export/gguf/part.ts";
export type { WrittenOnnxPart } from "./export/onnx/part.ts";
export type { FloatDType } from "./tensor.ts";

// The same run in three steps, each from file to file.
export { applyPlan, scoreModel, selectFromScores } from "./pipeline/steps.ts";
export type {
  AppliedPlan,
  ApplyPlanOptions,
  ScoredModel,
  ScoreModelOptions,
  SelectedPlan,
  SelectFromScoresOptions,
} from "./pipeline/steps.ts";

// The files between the steps: scores, and the plan that is selected from them.
export { openScores } from "./scoring/scores-file.ts";
export type { RelevanceScores, ScoredDocument, TokenRelevance, VocabularyRelevance } from "./scoring/relevance.ts";
export type { MapChange } from "./model/block-energies.ts";
export { MATRIX_KINDS, UNIT_KINDS } from "./model/units.ts";
export type { MatrixKind, RelevanceKind, UnitKind } from "./model/units.ts";
export { selectUnits } from "./selection/select.ts";
export type { SelectionOptions } from "./selection/selection-options.ts";
export type { VocabularyChoice } from "./selection/select-vocabulary.ts";
export type { CutTrial, MeasuredTrial } from "./selection/damage.ts";
export { METHOD_NAMES } from "./selection/methods/index.ts";
export type { MethodName } from "./selection/methods/index.ts";
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

// Export: a model → another format.
export { EXPORT_FORMATS, EXPORT_TYPES, exportModel } from "./pipeline/export.ts";
export type { ExportedModel, ExportFormat, ExportOptions, ExportType } from "./pipeline/export.ts";
export type { WrittenGgufFile } from "./export/gguf/export-gguf.ts";
export { GGUF_FILE_TYPES } from "./export/gguf/types.ts";
export type { GgufFileType, GgufStorage } from "./export/gguf/types.ts";
export type { WrittenOnnxFolder } from "./export/onnx/export-onnx.ts";
export { ONNX_TYPES } from "./export/onnx/types.ts";
export type { OnnxType } from "./export/onnx/types.ts";

// Evaluation: a model on evaluation files, with intervals and paired differences.
export { evaluateModel } from "./pipeline/evaluate.ts";
export type { EvaluateOptions, EvaluationReport } from "./pipeline/evaluate.ts";
export { FIGURE_NAMES } from "./evaluation/summarize-task.ts";
export type { FigureName, TaskResult } from "./evaluation/summarize-task.ts";
export type { Difference, Figure, Interval } from "./evaluation/intervals.ts";

// Comparison: pruning methods side by side.
export { compareMethods } from "./pipeline/compare-methods.ts";
export type { ComparisonReport } from "./pipeline/compare-methods.ts";
export type { CompareOptions, MethodVariant } from "./pipeline/comparison-plan.ts";
export { renderComparison } from "./report/comparison-table.ts";
export type { ComparisonSettings, MethodComparison, MethodRun } from "./report/method-comparison.ts";

// Verification: the written files in stock runtimes, against cusprun's own forward pass.
export { verifyExpert } from "./pipeline/verify.ts";
export type { VerificationReport, VerifyExpertOptions } from "./pipeline/verify.ts";
export type { Verification, VerificationStatus } from "./verification/verify.ts";
export type { Comparison } from "./verification/compare.ts";

// Common to all functions: errors, progress, cancellation, memory and device.
export { CusprunError, ERROR_CODES, EXIT_CODES } from "./errors.ts";
export type { ErrorClass, ErrorCode, ErrorParts } from "./errors.ts";
export type { JobOptions, ProgressEvent, RunProgress, StageTime } from "./progress.ts";
export { DEVICES } from "./device.ts";
export type { Device } from "./device.ts";
