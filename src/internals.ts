/**
 * @file The parts that the stable core is made of, the entry point `cusprun/internals`, in the order in which data
 * passes through the program: for benchmarks, experiments and tools that work below `pruneModel` and its steps.
 *
 * The name is a warning: nothing here is stable. Names, parameters and results follow the program's inner structure and
 * may change in any version, without a note in the changelog: pin an exact version to build on them. The names of the
 * stable core are in `cusprun` and not repeated here. Types are added when something needs them.
 */

// Models: the catalogue, parts of a checkpoint's files, and tokenizers.
export { fetchCatalogModel } from "./checkpoint/hub/catalog.ts";
export { readGgufHeader } from "./checkpoint/gguf/header.ts";
export type { GgufHeader } from "./checkpoint/gguf/header.ts";
export type { GgufTensor } from "./checkpoint/gguf/layout.ts";
export { SafetensorsFile } from "./checkpoint/safetensors/read.ts";
export type { SafetensorsEntry } from "./checkpoint/safetensors/header.ts";
export { blockTensorShape } from "./checkpoint/check-tensors.ts";
export type { BlockSizes } from "./checkpoint/check-tensors.ts";
export { openTokenizer } from "./pipeline/model.ts";

// Corpora: presets and files → tokenised documents, some of them held out.
export { createTokenizer } from "./corpora/tokenizer.ts";
export type { Tokenizer } from "./corpora/tokenizer.ts";
export { DEFAULT_DOCUMENTS, DEFAULT_HELD_OUT_DOCUMENTS, DEFAULT_MAX_TOKENS, loadCorpora } from "./corpora/load.ts";
export type { Corpus, TokenDocument } from "./corpora/corpus.ts";
export { uniqueDocuments } from "./scoring/fingerprint.ts";

// The forward engine: graphs of one layer on ONNX Runtime, batches, and the memory that a run needs.
export { defaultMemoryLimit, planMemory } from "./model/memory-plan.ts";
export type { MemoryRequest } from "./model/memory-plan.ts";
export type { WeightSource } from "./model/layer-program.ts";
export { makeBatches } from "./model/batches.ts";
export type { Batch, BatchShape } from "./model/batches.ts";
export { ropeTable } from "./model/rope.ts";
export type { RopeTable } from "./model/rope.ts";
export { buildBlockGraph } from "./model/block-graph.ts";
export { OnnxGraph } from "./model/onnx-graph.ts";
export { GraphSession } from "./model/sessions.ts";
export type { Feed } from "./model/sessions.ts";

// Scoring: checkpoint + corpora → relevance of every unit to every document.
export { scoreCorpora } from "./scoring/score.ts";
export type { ScoreOptions } from "./scoring/score.ts";
export { energiesFor } from "./scoring/layer-scorer.ts";
export type { VocabularyFacts } from "./scoring/token-relevance.ts";
export type { DimensionCounts } from "./corpora/token-counts.ts";

// Selection: the methods, and trial cuts of single layers.
export { METHODS } from "./selection/methods/index.ts";
export type { Method, MethodDefaults } from "./selection/methods/method.ts";
export { ensureTrials } from "./pipeline/trial-step.ts";

// Surgery: checkpoint + plan → expert, repaired.
export { cutExpert } from "./surgery/expert.ts";
export type { Expert, ExpertTensor } from "./surgery/expert.ts";
export { expertCheckpoint } from "./surgery/expert-checkpoint.ts";
export { plannedTokenIds } from "./surgery/expert-tokenizer.ts";
export type { TokenIdMap } from "./surgery/trim-tokenizer.ts";
export { readRepairReport, repairExpert, withRepair } from "./surgery/repair.ts";
export type { RepairedMatrix } from "./surgery/repair.ts";
export { REPAIR_STEPS } from "./surgery/repair-steps.ts";
export type { RepairStep } from "./surgery/repair-steps.ts";

// Export: expert → folder or file.
export type { WrittenExpert } from "./pipeline/writing-step.ts";
export { writeHuggingFaceFolder } from "./export/hugging-face/write-hugging-face.ts";
export type { HuggingFaceOptions, WrittenFolder } from "./export/hugging-face/write-hugging-face.ts";
export type { ExpertFolderOptions } from "./export/expert-folder.ts";
export type { CardCorpus, ModelCardInput, WrittenPart } from "./export/model-card.ts";
export { exportGguf } from "./export/gguf/export-gguf.ts";
export type { GgufOptions } from "./export/gguf/export-gguf.ts";
export { quantize } from "./export/gguf/ggml-quantize.ts";
export type { WrittenGgmlType } from "./export/gguf/ggml-quantize.ts";
export { exportOnnx } from "./export/onnx/export-onnx.ts";
export type { OnnxOptions } from "./export/onnx/export-onnx.ts";
export type { WeightLimits } from "./export/onnx/writer.ts";

// Evaluation: held-out documents and evaluation files, request by request.
export { measureExpert } from "./pipeline/measure-step.ts";
export type { PerplexityByDimension } from "./pipeline/measure-step.ts";
export { measureHeldOut, summarizePerplexity } from "./evaluation/perplexity.ts";
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
export { RequestMaker } from "./evaluation/requests.ts";
export type { LikelihoodRequest } from "./evaluation/requests.ts";
export { askLikelihoods, measureTasks } from "./evaluation/measure-tasks.ts";
export type { MeasureTasksOptions } from "./evaluation/measure-tasks.ts";
export type { ChoiceScore, GenerationScore, ItemScore, TextScore } from "./evaluation/item-scores.ts";
export { summarizeTask } from "./evaluation/summarize-task.ts";

// Reports: the file of a comparison, and plots.
export { COMPARISON_FORMAT } from "./report/method-comparison.ts";
export { renderSvg } from "./report/svg.ts";
export type { Plot } from "./report/svg.ts";
