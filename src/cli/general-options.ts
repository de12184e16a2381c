/**
 * @file The options of the command line that are about running, not about what is made.
 */

import { DEVICES } from "../device.ts";
import { DEFAULT_CACHE_LIMIT_BYTES } from "../pipeline/cache-limit.ts";
import type { Option } from "./option.ts";
import type { OptionName } from "./settings.ts";

type GeneralName = Extract<
  OptionName,
  "config" | "work" | "dry-run" | "memory" | "device" | "prune" | "all" | "cache-limit" | "json" | "quiet"
>;

/** These options, in the order of `--help`. */
export const GENERAL_OPTIONS: { readonly [Name in GeneralName]: Option } = {
  config: {
    group: "General",
    type: { kind: "text" },
    hint: "FILE",
    help: "YAML file with these options; flags override it",
  },
  work: {
    group: "General",
    type: { kind: "text" },
    hint: "DIR",
    help: "Folder for scores and other intermediate results, reused by later runs (default: the user's cache)",
  },
  "dry-run": {
    group: "General",
    type: { kind: "switch" },
    help:
      "Write and remove nothing. prune: check everything and say how long each stage will take, its memory and the size " +
      "of the output; cache --prune: say what would be removed",
  },
  memory: {
    group: "General",
    type: { kind: "text" },
    hint: "SIZE",
    help: "Memory limit, e.g. 6G (6 GiB) or 6GB (default: three quarters of the machine's memory)",
  },
  device: {
    group: "General",
    type: { kind: "choice", of: DEVICES },
    hint: "NAME",
    help: "Device for the layers; operators it lacks run on the CPU (default: cpu)",
  },
  prune: { group: "General", type: { kind: "switch" }, help: "Remove what is no longer needed" },
  all: { group: "General", type: { kind: "switch" }, help: "With --prune: remove every work folder" },
  "cache-limit": {
    group: "General",
    type: { kind: "text" },
    hint: "SIZE",
    help:
      "With --prune: most that all work folders may take together, e.g. 5GB (default: $CUSPRUN_CACHE_LIMIT, otherwise " +
      `${DEFAULT_CACHE_LIMIT_BYTES / 2 ** 30}G)`,
  },
  json: { group: "General", type: { kind: "switch" }, help: "Print the result, or an error, as one JSON object" },
  quiet: { group: "General", type: { kind: "switch" }, help: "Show no progress" },
};
