/**
 * @file Compiles the fuzzer and src to tests/fuzz/dist, since its processes are started by Node alone. Types are
 * checked with all tests (`npm run typecheck`).
 */

import { spawnSync } from "node:child_process";
import { copyFileSync, rmSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const out = `${root}tests/fuzz/dist`;

rmSync(out, { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}tests/fuzz`], {
  stdio: "inherit",
});
if (status !== 0) process.exit(status ?? 1);
// The program reads both at the same distance from its sources.
copyFileSync(`${root}package.json`, `${out}/package.json`);
symlinkSync(`${root}presets`, `${out}/presets`, "junction");
