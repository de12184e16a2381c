/**
 * @file One question to one runtime in a child process: the request as an argument, logits in a temporary file, the rest as JSON in the last
 * line of its output.
 */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type RuntimeAnswer, RuntimeFailure, type RuntimeRequest } from "./runtime.ts";

/** Far over what a model takes that fits a laptop; a runtime that hangs ends here. `CUSPRUN_VERIFY_TIMEOUT` (seconds) overrides it. */
const DEFAULT_TIMEOUT_S = 600;
/** What a runtime may print beside its answer. */
const MAX_OUTPUT_BYTES = 64 * 2 ** 20;
/** Lines of a runtime's own message that are shown. */
const SHOWN_LINES = 3;

/** The package's folder of scripts, from `src/verification` as from `dist/verification`. */
const SCRIPTS_FOLDER = new URL("../../runtimes/", import.meta.url);

/** Path of a script that is shipped with cusprun. */
export function scriptPath(name: string): string {
  return fileURLToPath(new URL(name, SCRIPTS_FOLDER));
}

/**
 * Runs a script of `runtimes/` and reads its answer.
 * @param command the interpreter, and what stands before the request.
 * @throws RuntimeFailure.
 */
export async function askChild(
  command: readonly [string, ...string[]],
  request: RuntimeRequest & Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
): Promise<RuntimeAnswer> {
  const folder = await mkdtemp(join(tmpdir(), "cusprun-verify-"));
  try {
    const logitsPath = join(folder, "logits.f32");
    const output = await run(command, JSON.stringify({ ...request, logitsPath }), signal);
    const answer = parseAnswer(output);
    const bytes = await readFile(logitsPath);
    const logits = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    if (logits.length !== request.ids.length * answer.vocabSize) {
      throw new RuntimeFailure(`gave ${logits.length} logits for ${request.ids.length} tokens of ${answer.vocabSize}`);
    }
    return { ...answer, logits };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function run([file, ...args]: readonly [string, ...string[]], request: string, signal: AbortSignal | undefined): Promise<string> {
  const seconds = Number(process.env["CUSPRUN_VERIFY_TIMEOUT"]) || DEFAULT_TIMEOUT_S;
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      [...args, request],
      {
        maxBuffer: MAX_OUTPUT_BYTES,
        timeout: 1000 * seconds,
        killSignal: "SIGKILL",
        ...(signal !== undefined && { signal }),
        // Nothing is fetched: what is verified is what lies there.
        env: { ...process.env, HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" },
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else if (signal?.aborted === true) reject(signal.reason as Error);
        else if (error.killed === true) reject(new RuntimeFailure(`gave no answer within ${seconds} seconds`));
        else reject(new RuntimeFailure(lastLines(stderr) || error.message));
      },
    );
    // transformers asks whether to trust a folder's code, and waits for an answer.
    child.stdin?.end();
  });
}

function parseAnswer(output: string): Omit<RuntimeAnswer, "logits"> {
  try {
    return JSON.parse(output.trimEnd().split("\n").at(-1) ?? "") as Omit<RuntimeAnswer, "logits">;
  } catch {
    throw new RuntimeFailure(`ended without an answer: ${lastLines(output)}`);
  }
}

/** The end of a stack trace says what happened. */
function lastLines(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^\s+at |^Node\.js v/.test(line));
  return lines.slice(-SHOWN_LINES).join(" ").trim().slice(0, 400);
}
