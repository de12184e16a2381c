/**
 * @file Results of the commands. `value` is the object that `--json` prints.
 */

import type { ModelDescription } from "../checkpoint/inspect.ts";
import type { CacheReport } from "../pipeline/cache-prune.ts";
import type { ComparisonReport } from "../pipeline/compare-methods.ts";
import type { EvaluationReport } from "../pipeline/evaluate.ts";
import type { ExportedModel } from "../pipeline/export.ts";
import type { AppliedPlan, ScoredModel, SelectedPlan } from "../pipeline/steps.ts";
import type { VerificationReport } from "../pipeline/verify.ts";
import type { PruneEstimate, PruneReport } from "../report/report.ts";

/** Result of a command. */
export type JobResult =
  | { readonly command: "prune"; readonly value: PruneReport }
  | { readonly command: "dry run"; readonly value: PruneEstimate }
  | { readonly command: "inspect"; readonly value: ModelDescription }
  | { readonly command: "fetch"; readonly value: { readonly path: string } }
  | { readonly command: "score"; readonly value: ScoredModel }
  | { readonly command: "select"; readonly value: SelectedPlan }
  | { readonly command: "apply"; readonly value: AppliedPlan }
  | { readonly command: "export"; readonly value: ExportedModel }
  | { readonly command: "verify"; readonly value: VerificationReport }
  | { readonly command: "eval"; readonly value: EvaluationReport }
  | { readonly command: "compare"; readonly value: ComparisonReport }
  | { readonly command: "cache"; readonly value: CacheReport };
