/**
 * @file Queries a runtime in a child process: the request is an argument; the logits are returned in a temporary file,
 * the rest as JSON in the last line of the output.
 */

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withTemporaryFolder } from "../temporary-files.ts";
import { type RuntimeAnswer, RuntimeFailure, type RuntimeRequest } from "./runtime.ts";

/**
 * Far longer than any model that fits on a laptop needs; stops a hanging runtime. `CUSPRUN_VERIFY_TIMEOUT` (seconds)
 * overrides it.
 */
const DEFAULT_TIMEOUT_S = 600;
/** Maximum output of a runtime, including its answer. */
const MAX_OUTPUT_BYTES = 64 * 2 ** 20;
/** Number of lines shown of a runtime's own error message. */
const SHOWN_LINES = 3;

/** The package's folder of scripts; the path is the same from `src/verification` and `dist/verification`. */
const SCRIPTS_FOLDER = new URL("../../runtimes/", import.meta.url);

/** Path of a script packaged with cusprun. */
export function scriptPath(name: string): string {
  return fileURLToPath(new URL(name, SCRIPTS_FOLDER));
}

/**
 * Runs a script of `runtimes/` and reads its answer.
 * @param command the interpreter and the arguments before the request.
 * @throws RuntimeFailure; CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE` for the temporary folder.
 */
export async function askChild(
  command: readonly [string, ...string[]],
  request: RuntimeRequest & Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
): Promise<RuntimeAnswer> {
  return withTemporaryFolder(async (folder) => {
    const logitsPath = join(folder, "logits.f32");
    const output = await run(command, JSON.stringify({ ...request, logitsPath }), signal);
    const answer = parseAnswer(output);
    const bytes = await readFile(logitsPath);
    const logits = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    if (logits.length !== request.ids.length * answer.vocabSize) {
      throw new RuntimeFailure(
        `returned ${logits.length} logits for ${request.ids.length} tokens and a vocabulary of ${answer.vocabSize}`,
      );
    }
    return { ...answer, logits };
  });
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
        // Nothing is downloaded: only local files are verified.
        env: { ...process.env, HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" },
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else if (signal?.aborted === true) reject(signal.reason as Error);
        else if (error.killed === true) reject(new RuntimeFailure(`did not answer within ${seconds} seconds`));
        else reject(new RuntimeFailure(lastLines(stderr) || error.message));
      },
    );
    // transformers asks on stdin whether to trust a folder's code, and would wait for an answer.
    child.stdin?.end();
  });
}

function parseAnswer(output: string): Omit<RuntimeAnswer, "logits"> {
  try {
    return JSON.parse(output.trimEnd().split("\n").at(-1) ?? "") as Omit<RuntimeAnswer, "logits">;
  } catch {
    throw new RuntimeFailure(`exited without an answer: ${lastLines(output)}`);
  }
}

/** The last lines of an error message; in Python stack traces they hold the error. */
function lastLines(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^\s+at |^Node\.js v/.test(line));
  return lines.slice(-SHOWN_LINES).join(" ").trim().slice(0, 400);
}
