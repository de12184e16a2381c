/**
 * @file The type of what a user can set: one key per option. `options.ts` describes each of them.
 */

import type { Dimension } from "../corpora/corpus.ts";
import type { Device } from "../device.ts";
import type { MapChange } from "../model/block-energies.ts";
import type { MatrixKind, UnitKind } from "../model/units.ts";
import type { ExportFormat, ExportType } from "../pipeline/export.ts";
import type { ExpertFormat } from "../pipeline/writing-step.ts";
import type { MethodName } from "../selection/methods/index.ts";
import type { Allocation, Layout } from "../selection/plan.ts";

/**
 * The options that the user has set, by flag or in the YAML file. Defaults are those of the functions that are called.
 */
export interface Settings {
  readonly language?: readonly string[];
  readonly domain?: readonly string[];
  readonly task?: readonly string[];
  readonly documents?: number;
  readonly "held-out"?: number;
  readonly "max-tokens"?: number;
  readonly seed?: number;
  readonly reduce?: string;
  readonly layout?: Layout;
  readonly granularity?: "structural" | "matrix";
  readonly dimensions?: readonly Dimension[];
  readonly units?: readonly UnitKind[];
  readonly matrices?: readonly MatrixKind[];
  readonly allocation?: Allocation;
  readonly method?: MethodName;
  readonly methods?: readonly MethodName[];
  readonly budgets?: readonly string[];
  readonly seeds?: readonly number[];
  readonly keep?: boolean;
  readonly floor?: number;
  readonly snap?: number;
  readonly aggregate?: string;
  readonly weights?: Readonly<Record<string, number>>;
  readonly "keep-vocabulary"?: boolean;
  readonly vocabulary?: number;
  readonly "vocabulary-coverage"?: string;
  readonly "vocabulary-corpus"?: readonly string[];
  readonly dtype?: "f32" | "f16" | "bf16";
  readonly "max-shard-size"?: string;
  readonly out?: string;
  readonly overwrite?: boolean;
  readonly work?: string;
  readonly "dry-run"?: boolean;
  readonly memory?: string;
  readonly device?: Device;
  readonly maps?: MapChange;
  readonly repair?: boolean;
  readonly "general-share"?: number;
  readonly measure?: boolean;
  readonly formats?: readonly ExpertFormat[];
  readonly plan?: string;
  readonly to?: ExportFormat;
  readonly type?: ExportType;
  readonly tasks?: readonly string[];
  readonly limit?: number;
  readonly against?: string;
  readonly window?: number;
  readonly "trust-remote-code"?: boolean;
  readonly config?: string;
  readonly prune?: boolean;
  readonly all?: boolean;
  readonly "cache-limit"?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Name of an option: the flag without its dashes, and the key in the YAML file. */
export type OptionName = keyof Settings;
