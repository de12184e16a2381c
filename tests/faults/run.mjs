/**
 * @file Runs the trials by command: `npm run faults -- --kills 100 --full-disks 50 --seed 7`; `--help` lists the
 * options. On Linux everything runs in a mount namespace of its own (`unshare`): small disks are mounted there, and
 * disappear with the process.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createViteServer } from "vitest/node";

const IN_NAMESPACE = "CUSPRUN_FAULTS_IN_NAMESPACE";
const root = fileURLToPath(new URL("../..", import.meta.url));

if (process.platform === "linux" && process.env[IN_NAMESPACE] === undefined) {
  const args = ["--map-root-user", "--mount", process.execPath, ...process.argv.slice(1)];
  const { status } = spawnSync("unshare", args, { stdio: "inherit", env: { ...process.env, [IN_NAMESPACE]: "1" } });
  process.exit(status ?? 1);
}

const server = await createViteServer({
  root,
  configFile: false,
  appType: "custom",
  logLevel: "error",
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, watch: null, ws: false, hmr: false },
});
try {
  const { main } = await server.ssrLoadModule("/tests/faults/main.ts");
  process.exitCode = await main(process.argv.slice(2));
} finally {
  await server.close();
}
