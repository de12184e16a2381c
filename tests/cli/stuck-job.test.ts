/**
 * @file A job that does not notice a signal, because it is inside a loop of a library or inside native code: one signal
 * ends it, and the next run removes what it left. The jobs are worker threads made for these tests.
 */

import { spawn } from "node:child_process";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { withFolder } from "../support/temporary-folder.ts";

const dist = (file: string): string => JSON.stringify(new URL(`../../dist/${file}`, import.meta.url));

const LOOP = "for (;;);";
/** Hours in one native call, which `worker.terminate()` cannot interrupt. */
const NATIVE = "pbkdf2Sync('password', 'salt', 2 ** 31 - 1, 64, 'sha512');";
const NOTHING = "";

/** Starts a process that runs a job, which writes `expert` in the folder and is inside `work` meanwhile. */
async function start(folder: string, work: string, heapMiB = 512): Promise<ReturnType<typeof spawn>> {
  const worker = join(folder, "worker.mjs");
  const main = join(folder, "main.mjs");
  await writeFile(
    worker,
    `import { pbkdf2Sync } from "node:crypto";
     import { writeFileSync } from "node:fs";
     import { parentPort } from "node:worker_threads";
     import { writeFileAtomically } from ${dist("atomic-write.js")};
     await writeFileAtomically(${JSON.stringify(join(folder, "out", "expert"))}, async (path) => {
       writeFileSync(path, "half");
       parentPort.postMessage({ type: "progress", event: { stage: "working" } });
       ${work}
     });
     parentPort.postMessage({ type: "result", result: null });
     parentPort.close();`,
  );
  await writeFile(
    main,
    `import { runJob } from ${dist("cli/run-job.js")};
     const say = (text) => process.stderr.write(text);
     const listener = { onProgress: (event) => say(event.stage), onStopping: () => say("stopping") };
     const outcome = await runJob({}, listener, new URL("worker.mjs", import.meta.url));
     if (outcome.type === "refused") say(outcome.code);
     process.exitCode = outcome.type === "stopped" ? outcome.exitCode : outcome.type === "result" ? 0 : 1;`,
  );
  return spawn(process.execPath, [`--max-old-space-size=${heapMiB}`, main], { stdio: ["ignore", "ignore", "pipe"] });
}

/** Waits for the end; sends the signals when the job is working. */
function end(
  child: ReturnType<typeof spawn>,
  signals: readonly NodeJS.Signals[],
): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code, signal) => resolve({ code, signal }));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      if (text === "working") for (const signal of signals) child.kill(signal);
    });
  });
}

describe("a job that is stuck", () => {
  test.for<[string, NodeJS.Signals, string, { code: number | null; signal: string | null }]>([
    ["a loop", "SIGINT", LOOP, { code: 130, signal: null }],
    ["a loop", "SIGTERM", LOOP, { code: 143, signal: null }],
    // Shells report a process that a signal ended as 130 and 143, too.
    ["native code", "SIGINT", NATIVE, { code: null, signal: "SIGINT" }],
    ["native code", "SIGTERM", NATIVE, { code: null, signal: "SIGTERM" }],
  ])("in %s is ended by one %s", ([, signal, work, expected]) =>
    withFolder(async (folder) => {
      expect(await end(await start(folder, work), [signal])).toEqual(expected);
      // Half an output, under its temporary name; the next run replaces it.
      expect(await readdir(join(folder, "out"))).not.toContain("expert");
      expect(await end(await start(folder, NOTHING), [])).toEqual({ code: 0, signal: null });
      expect(await readdir(join(folder, "out"))).toEqual(["expert"]);
    }),
  );
});

// One large allocation instead of many small ones would end the process.
test("a job that needs more memory for JavaScript values than Node allows is refused, with the remedy", () =>
  withFolder(async (folder) => {
    const child = await start(folder, "let all = null; for (;;) all = { all, text: String(Math.random()).repeat(9) };", 64);
    let stderr = "";
    child.stderr!.on("data", (text: string) => (stderr += text));
    expect(await end(child, [])).toEqual({ code: 1, signal: null });
    expect(stderr).toContain("MEMORY_LIMIT");
  }));
