/**
 * @file One worker process under a watchdog. Time is the process' own processor time, so that a busy machine makes no
 * hang; where that cannot be read, and for an input that only waits, it is the clock's with a longer limit.
 */

import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { STATE_FILE, type FromWorker, type ToWorker } from "./protocol.ts";

const WORKER = join(import.meta.dirname, "worker.js");
/** The clock's limit, as a multiple of the limit in processor time. */
const CLOCK_FACTOR = 6;
const WATCH_MS = 200;
/** Linux counts processor time in ticks of 1/100 s (`getconf CLK_TCK`). */
const TICKS_PER_SECOND = 100;

/** Processes that end with this one, whatever they are doing. */
const children = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** How a task ended: with an answer, or without one at an index. */
export type TaskEnd =
  | { readonly type: "answer"; readonly answer: FromWorker }
  | { readonly type: "hang"; readonly index: number; readonly seconds: number }
  | { readonly type: "ended"; readonly index: number; readonly how: string };

/** A worker process. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #hangSeconds: number;
  #output = "";

  private constructor(child: ChildProcess, folder: string, hangSeconds: number) {
    this.#child = child;
    this.#folder = folder;
    this.#hangSeconds = hangSeconds;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (bytes: Buffer) => (this.#output = (this.#output + bytes.toString("utf8")).slice(-4000)));
    }
  }

  /** Starts a process for a target and waits until it is ready. */
  static async start(target: string, folder: string, hangSeconds: number): Promise<WorkerProcess> {
    mkdirSync(folder, { recursive: true });
    const child = fork(WORKER, [target, folder], { execArgv: ["--expose-gc"], stdio: ["ignore", "pipe", "pipe", "ipc"] });
    children.add(child);
    const worker = new WorkerProcess(child, folder, hangSeconds);
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("exit", () => reject(new Error(`the worker of '${target}' did not start: ${worker.#output}`)));
    });
    return worker;
  }

  /** Runs a task. If it hangs, the process is killed. */
  async run(task: ToWorker): Promise<TaskEnd> {
    const child = this.#child;
    return new Promise((resolve) => {
      let watched = { index: -1, clock: 0, processor: 0 };
      let hang: TaskEnd | null = null;
      const watch = setInterval(() => {
        const index = this.#index();
        const now = { index, clock: performance.now() / 1000, processor: processorSeconds(child.pid) };
        if (index !== watched.index) watched = now;
        if (index < 0) return;
        const clock = now.clock - watched.clock;
        const used = now.processor - watched.processor;
        if (used <= this.#hangSeconds && clock <= CLOCK_FACTOR * this.#hangSeconds) return;
        hang = { type: "hang", index, seconds: used };
        child.kill("SIGKILL");
      }, WATCH_MS);
      const finish = (end: TaskEnd): void => {
        clearInterval(watch);
        child.removeAllListeners("message");
        child.removeAllListeners("exit");
        if (end.type !== "answer") children.delete(child);
        resolve(end);
      };
      child.once("message", (answer: FromWorker) => finish({ type: "answer", answer }));
      child.once("exit", (code, signal) => {
        const how = `exit code ${code ?? "none"}, signal ${signal ?? "none"}: ${lastLines(this.#output)}`;
        finish(hang ?? { type: "ended", index: this.#index(), how });
      });
      child.send(task);
    });
  }

  /** Ends the process. */
  async close(): Promise<void> {
    const child = this.#child;
    children.delete(child);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once("exit", resolve));
    if (child.connected) child.disconnect();
    else child.kill();
    await exited;
  }

  /** The index that the worker is running; −1 between inputs. */
  #index(): number {
    const bytes = readFileSync(join(this.#folder, STATE_FILE));
    return bytes.length < 8 ? -1 : bytes.readDoubleLE();
  }
}

/** Processor time of a process in seconds, where it can be read (Linux); otherwise 0. */
function processorSeconds(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

function lastLines(output: string): string {
  const lines = output.split("\n").filter((line) => /error|fatal|memory|abort/i.test(line));
  return lines.slice(0, 2).join("; ").slice(0, 300);
}
