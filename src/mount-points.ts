/**
 * @file Which places a rename cannot replace: mount points, such as a container's volume, and what stands in a folder
 * that may not be changed.
 */

import { access, constants, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** In a folder with this bit, only its owner and an entry's own owner may rename the entry. Source: inode(7). */
const STICKY_BIT = 0o1000;

/**
 * Whether an existing file or folder can be moved aside for another one, as far as that can be told without trying.
 * @param path without links.
 */
export async function isReplaceable(path: string): Promise<boolean> {
  if (await isMountPoint(path)) return false;
  const parent = dirname(path);
  const isWritable = await access(parent, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!isWritable) return false;
  const user = process.getuid?.() ?? 0;
  const [own, above] = [await stat(path), await stat(parent)];
  return (above.mode & STICKY_BIT) === 0 || user === 0 || own.uid === user || above.uid === user;
}

/** Whether another file system, or another part of the same one, is mounted at a path. */
export async function isMountPoint(path: string): Promise<boolean> {
  if (path === dirname(path) || (await stat(path)).dev !== (await stat(dirname(path))).dev) return true;
  // A folder that is mounted at another place of the same file system has the same device.
  const mounts = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
  return mounts.split("\n").some((line) => unescapeMount(line.split(" ")[4] ?? "") === path);
}

/** Spaces and the like are octal escapes. Source: proc_pid_mountinfo(5). */
function unescapeMount(text: string): string {
  return text.includes("\\")
    ? Buffer.from(
        text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
        "latin1",
      ).toString("utf8")
    : text;
}
