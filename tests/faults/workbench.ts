/**
 * @file The folder of the trials: inputs, the places that the command writes to, and the commands themselves. Every
 * trial has the same paths, so that every run of a command must give the same bytes.
 */

import { execFileSync } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { INPUT_NAMES, writeInputs } from "./inputs.ts";
import { runToEnd, type Surroundings } from "./command.ts";

/** The places that a run writes to or could litter, each of which can be a small disk; `here` is the current folder. */
export const PLACES = ["out", "work", "cache", "temp", "home", "here"] as const;
export type Place = (typeof PLACES)[number];

/** A workbench. */
export interface Workbench {
  readonly folder: string;
  /** Everything that runs read. */
  readonly inputs: string;
  /** Inputs of the same sizes with other weights and texts. */
  readonly otherInputs: string;
  /** Holds the places. */
  readonly places: string;
  readonly placeOf: (place: Place) => string;
  readonly surroundings: Surroundings;
}

/** Places in which nothing is ever left. */
export const EMPTY_PLACES = /^(?:temp|home|here)(?:\/|$)/;

/** A command that is tried. */
export interface TriedCommand {
  readonly name: string;
  /** Arguments without `--out`. */
  readonly args: readonly string[];
  /** Name of the output in the place `out`. */
  readonly output: string;
  /** Whether it keeps finished parts in its output, to go on from them: `compare`. */
  readonly keepsParts: boolean;
  /** The inputs that it reads, within the folder of inputs. */
  readonly reads: readonly string[];
}

/** Names of inputs that are made by the command itself. */
const SCORES = "scores.safetensors";
const PLAN = "plan.json";
const EXPERT = "expert";

/** Makes the inputs, with this cusprun. */
export async function openWorkbench(folder: string): Promise<Workbench> {
  const places = join(folder, "places");
  const placeOf = (place: Place): string => join(places, place);
  const bench: Workbench = {
    folder,
    inputs: join(folder, "inputs"),
    otherInputs: join(folder, "other-inputs"),
    places,
    placeOf,
    surroundings: {
      env: {
        CUSPRUN_CACHE: placeOf("cache"),
        HF_HOME: join(placeOf("cache"), "huggingface"),
        XDG_CACHE_HOME: join(placeOf("home"), ".cache"),
        HOME: placeOf("home"),
        TMPDIR: placeOf("temp"),
        HF_HUB_OFFLINE: "1",
      },
      cwd: placeOf("here"),
    },
  };
  await clearPlaces(bench);
  for (const [inputs, seed] of [
    [bench.inputs, 1],
    [bench.otherInputs, 2],
  ] as const) {
    await writeInputs(inputs, seed);
    const step = (...args: readonly string[]): Promise<void> => prepare(bench, args);
    const model = join(inputs, INPUT_NAMES.model);
    const corpora = corporaOf(inputs);
    await step("score", model, ...corpora, "--out", join(inputs, SCORES));
    await step("select", join(inputs, SCORES), "--reduce", "25% of blocks", "--snap", "32", "--out", join(inputs, PLAN));
    await step("apply", model, "--plan", join(inputs, PLAN), "--out", join(inputs, EXPERT));
  }
  await clearPlaces(bench);
  return bench;
}

async function prepare(bench: Workbench, args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runToEnd(args, bench.surroundings);
  if (exitCode !== 0) throw new Error(`cusprun ${args.join(" ")} ended with ${exitCode}:\n${stderr}`);
}

/** Empties every place. */
export async function clearPlaces(bench: Workbench): Promise<void> {
  for (const place of PLACES) {
    await rm(bench.placeOf(place), { recursive: true, force: true });
    await mkdir(bench.placeOf(place), { recursive: true });
  }
}

function corporaOf(inputs: string): string[] {
  const { language, domain } = INPUT_NAMES;
  const texts = ["--language", join(inputs, language), "--domain", join(inputs, domain)];
  return [...texts, "--documents", "10", "--held-out", "4", "--max-tokens", "96"];
}

/** Every command that is tried. */
export function commandsOf({ inputs, placeOf }: Workbench): readonly TriedCommand[] {
  const at = (name: string): string => join(inputs, name);
  const model = at(INPUT_NAMES.model);
  const { language, domain, tasks } = INPUT_NAMES;
  const weights = join(INPUT_NAMES.model, "model.safetensors");
  const texts = [language, domain];
  const work = ["--work", placeOf("work")];
  const budget = ["--reduce", "25% of blocks", "--snap", "32"];
  const small = ["--max-shard-size", "200KB"];
  const command = (name: string, output: string, args: readonly string[], reads: readonly string[]): TriedCommand => ({
    name,
    output,
    args,
    reads,
    keepsParts: name === "compare",
  });
  return [
    command("score", "scores.safetensors", ["score", model, ...corporaOf(inputs)], [weights, ...texts]),
    command("prune", "expert", ["prune", model, ...corporaOf(inputs), ...budget, ...small, ...work], [weights, ...texts]),
    // Without --work: its results go to the cache.
    command("apply", "expert", ["apply", model, "--plan", at(PLAN), ...corporaOf(inputs), ...small], [weights, PLAN, ...texts]),
    command("export to gguf", "expert.gguf", ["export", at(EXPERT), "--to", "gguf"], [join(EXPERT, "model.safetensors")]),
    command("export to onnx", "expert-onnx", ["export", at(EXPERT), "--to", "onnx"], [join(EXPERT, "model.safetensors")]),
    command(
      "compare",
      "comparison",
      [
        "compare",
        model,
        ...corporaOf(inputs),
        "--methods",
        "cusprun,magnitude",
        "--budgets",
        "25% of blocks",
        "--snap",
        "32",
        "--tasks",
        at(tasks),
        "--keep",
        ...work,
      ],
      [weights, ...texts, tasks],
    ),
  ];
}

/** The path of a command's output. */
export function outputOf(bench: Workbench, command: TriedCommand): string {
  return join(bench.placeOf("out"), command.output);
}

/** Makes a place a disk of its own, with room for `bytes` bytes and `entries` files and folders. */
export function mountSmallDisk(path: string, size: { readonly bytes?: number; readonly entries?: number }): void {
  const options = [`size=${size.bytes ?? "64m"}`, `nr_inodes=${size.entries ?? 10_000}`];
  execFileSync("mount", ["-t", "tmpfs", "-o", options.join(","), "tmpfs", path], { stdio: "pipe" });
}

/** Changes the size of a disk that `mountSmallDisk` made; what is on it stays. Default: room enough. */
export function resizeDisk(path: string, size: { readonly bytes?: number; readonly entries?: number } = {}): void {
  const options = ["remount", `size=${size.bytes ?? "64m"}`, `nr_inodes=${size.entries ?? 10_000}`];
  execFileSync("mount", ["-o", options.join(","), path], { stdio: "pipe" });
}

/** Removes a small disk with all that is on it. */
export function unmountSmallDisk(path: string): void {
  execFileSync("umount", [path], { stdio: "pipe" });
}
