/**
 * @file File systems in memory that only one command can see, where the system lets this user mount them.
 */

import { execFileSync, spawnSync } from "node:child_process";

const NAMESPACE = ["--map-root-user", "--mount"];

let known: boolean | null = null;

/** Whether `runOnMount` works here: in many containers it does not. */
export function canMount(): boolean {
  known ??= (() => {
    try {
      execFileSync("unshare", [...NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  })();
  return known;
}

/** The end of a command on a mount. */
export interface MountedRun {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Mounts a file system of its own over an existing folder, and runs a shell script there.
 * @param options of the mount, such as `size=100k` or `ro`.
 * @param script gets the folder as `$0`, and `args` as `$@`.
 */
export function runOnMount(folder: string, options: string, script: string, args: readonly string[]): MountedRun {
  const mounted = `mount -t tmpfs -o ${options} tmpfs "$0" && { ${script}; }`;
  return spawnSync("unshare", [...NAMESPACE, "sh", "-c", mounted, folder, ...args], { encoding: "utf8" });
}
