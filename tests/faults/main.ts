/**
 * @file The trials by command: options, progress, a table at the end, and a folder of what went wrong.
 */

import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { tryChange } from "./changes.ts";
import { tryFullDisk } from "./full-disks.ts";
import { tryKill } from "./kills.ts";
import { tryPair } from "./pairs.ts";
import { randomOf } from "./random.ts";
import { makeReference, type Reference, strays } from "./references.ts";
import type { Trial, TrialSetting } from "./trial.ts";
import { clearPlaces, commandsOf, openWorkbench } from "./workbench.ts";

type Kind = "kills" | "full-disks" | "changes" | "pairs";

const KINDS: Readonly<Record<Kind, (setting: TrialSetting) => Promise<Trial>>> = {
  kills: tryKill,
  "full-disks": tryFullDisk,
  changes: tryChange,
  pairs: tryPair,
};
const KIND_NAMES = Object.keys(KINDS) as Kind[];

const HELP = `npm run faults -- [options]

  --kills N        kills at random moments (default 0)
  --full-disks N   full disks (default 0; needs unshare and the right to mount)
  --changes N      inputs that change while they are read (default 0)
  --pairs N        two runs at once (default 0)
  --seed N         seed of all choices (default 1)
  --only KIND-N    one trial alone, e.g. kills-17, as the report of a fault names it
  --commands A,B   only these commands
  --keep FOLDER    where the places after a fault are kept (default: a new folder in the temporary folder)
  --verbose        a line for every trial, not only for faults
`;

/** Times of the slowest stop are told in seconds. */
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** A row of the table. */
interface Row {
  trials: number;
  faults: number;
  slowestStopMs: number | null;
}

/** Runs the trials. @returns the exit code: 1 if anything was wrong. */
export async function main(argv: readonly string[]): Promise<number> {
  const count = { type: "string", default: "0" } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      kills: count,
      "full-disks": count,
      changes: count,
      pairs: count,
      seed: { type: "string", default: "1" },
      only: { type: "string" },
      commands: { type: "string" },
      keep: { type: "string" },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return say(HELP);
  const { verbose } = values;
  const seed = Number(values.seed);
  const only = values.only === undefined ? null : /^(.+)-(\d+)$/.exec(values.only);
  const wanted =
    only === null
      ? KIND_NAMES.flatMap((kind) => Array.from({ length: Number(values[kind]) }, (_, index) => ({ kind, index })))
      : KIND_NAMES.filter((kind) => kind === only[1]).map((kind) => ({ kind, index: Number(only[2]) }));
  const folder = await mkdtemp(join(tmpdir(), "cusprun-faults-"));
  const keep = values.keep ?? `${folder}-kept`;
  try {
    return await tryAll({ wanted, seed, folder, keep, commands: values.commands?.split(",") ?? null, verbose });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Plan {
  readonly wanted: readonly { readonly kind: Kind; readonly index: number }[];
  readonly seed: number;
  readonly folder: string;
  readonly keep: string;
  /** Names of the commands; null: all. */
  readonly commands: readonly string[] | null;
  readonly verbose: boolean;
}

async function tryAll({ wanted, seed, folder, keep, commands, verbose }: Plan): Promise<number> {
  const bench = await openWorkbench(folder);
  const references: Reference[] = [];
  const rows = new Map<string, Row>();
  let faults = 0;
  for (const command of commandsOf(bench)) {
    if (commands !== null && !commands.includes(command.name)) continue;
    const reference = await makeReference(bench, command);
    references.push(reference);
    const left = strays(reference.after);
    faults += left.length > 0 ? 1 : 0;
    const after = left.length > 0 ? `; FAULT: leaves ${left.join(", ")}` : "";
    say(`unbroken ${command.name}: ${seconds(reference.elapsedMs)}, ${reference.writeCalls.length} writing calls${after}`);
  }
  for (const [done, { kind, index }] of wanted.entries()) {
    const trial = await KINDS[kind]({ bench, references, random: randomOf(seed, kind, index) });
    const name = `${kind}-${index}`;
    if (trial.problems.length > 0) await keepPlaces(bench.places, join(keep, `seed-${seed}-${name}`), trial);
    const problems = [...trial.problems, ...(await trial.afterwards())];
    await clearPlaces(bench);
    const row = rows.get(trial.group) ?? { trials: 0, faults: 0, slowestStopMs: null };
    row.trials += 1;
    row.faults += problems.length > 0 ? 1 : 0;
    if (trial.stoppingMs !== null) row.slowestStopMs = Math.max(row.slowestStopMs ?? 0, trial.stoppingMs);
    rows.set(trial.group, row);
    if (problems.length > 0) {
      faults += 1;
      say(`FAULT ${name} (--seed ${seed} --only ${name}): ${trial.how}`);
      for (const problem of problems) say(`    ${problem}`);
    } else if (verbose) say(`${name}: ${trial.how}`);
    if ((done + 1) % 20 === 0) say(`${done + 1} of ${wanted.length} trials, ${faults} faults`);
  }
  say(tableOf(rows));
  say(`${wanted.length} trials, ${faults} faults, seed ${seed}${faults > 0 ? `; kept in ${keep}` : ""}`);
  return faults > 0 ? 1 : 0;
}

/** Keeps what a fault left, and what the run said. */
async function keepPlaces(places: string, kept: string, { how, problems, ended }: Trial): Promise<void> {
  await mkdir(kept, { recursive: true });
  execFileSync("cp", ["-a", places, kept]);
  await writeFile(join(kept, "report.txt"), [how, "", ...problems, "", ended.stdout, ended.stderr].join("\n"));
}

function tableOf(rows: ReadonlyMap<string, Row>): string {
  const cells = [...rows]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([group, { trials, faults, slowestStopMs }]) => {
      const stop = slowestStopMs === null ? "" : seconds(slowestStopMs);
      return `| ${group} | ${trials} | ${faults} | ${stop} |`;
    });
  return ["", "| what | trials | faults | slowest stop |", "| --- | ---: | ---: | ---: |", ...cells, ""].join("\n");
}

function say(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}
