/**
 * @file Loaded into a run of the command (`node --import`): does something at the n-th call of the file system on a
 * path, in the thread that makes it. With it a trial hits moments that last for microseconds, and hits them again.
 *
 * `CUSPRUN_FAULT` is JSON: `{ calls: "write" | "read", under, trace }` and one of `{ at, edge, signal }` and
 * `{ at, edge, change: { kind, path, from } }`. `under`: the file or folder whose calls count. `trace`: a file that
 * gets a line per call. `edge`: before the call, during it (it has begun), or after it.
 */

import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { resolve, sep } from "node:path";
import { isMainThread, threadId } from "node:worker_threads";

const original = { ...fs };
const fault = JSON.parse(process.env.CUSPRUN_FAULT ?? "null");
if (fault !== null && !isMainThread) install();

function install() {
  const paths = new WeakMap();
  const descriptors = new Map();
  let count = 0;

  const isWatched = (path) => {
    if (typeof path !== "string") return false;
    const full = resolve(path);
    return full === fault.under || full.startsWith(fault.under + sep);
  };

  /** Counts a call; returns whether this is the one. */
  const isTheOne = (name, path) => {
    count += 1;
    if (fault.trace !== undefined) original.appendFileSync(fault.trace, `${threadId} ${count} ${name} ${path}\n`);
    return count === fault.at;
  };

  const act = () => {
    if (fault.signal !== undefined) process.kill(process.pid, fault.signal);
    if (fault.change !== undefined) change(fault.change);
  };

  /** Wraps a function that returns a value or a promise. */
  const wrap = (name, call, pathOf) =>
    function wrapped(...args) {
      const path = pathOf.call(this, args);
      if (!isWatched(path) || !isTheOne(name, path)) return call.apply(this, args);
      if (fault.edge === "before") act();
      const result = call.apply(this, args);
      if (fault.edge === "during") act();
      if (fault.edge !== "after") return result;
      if (typeof result?.then !== "function") return (act(), result);
      return result.finally(act);
    };

  const first = ([path]) => (path instanceof URL ? path.pathname : path);
  const second = ([, path]) => path;
  const ofDescriptor = ([descriptor]) => descriptors.get(descriptor);
  const writes = fault.calls === "write";
  const byPath = writes
    ? ["writeFile", "appendFile", "rename", "rm", "rmdir", "unlink", "mkdir", "mkdtemp", "truncate", "chmod", "utimes"]
    : ["readFile", "stat", "lstat", "access", "realpath"];
  const byTarget = writes ? ["copyFile", "link", "symlink"] : [];
  const ofHandle = writes
    ? ["write", "writev", "writeFile", "appendFile", "truncate", "sync", "datasync", "close"]
    : ["read", "readv", "readFile", "stat"];
  const byDescriptor = writes ? ["write", "writev", "ftruncate", "fsync", "fdatasync"] : ["read", "readv", "fstat"];

  for (const name of byPath) {
    fs.promises[name] = wrap(name, fs.promises[name], first);
    fs[`${name}Sync`] = wrap(`${name}Sync`, fs[`${name}Sync`], first);
  }
  for (const name of byTarget) {
    fs.promises[name] = wrap(name, fs.promises[name], second);
    fs[`${name}Sync`] = wrap(`${name}Sync`, fs[`${name}Sync`], second);
  }
  for (const name of byDescriptor) fs[`${name}Sync`] = wrap(`${name}Sync`, fs[`${name}Sync`], ofDescriptor);

  const forWriting = (flags) => (typeof flags === "number" ? (flags & 3) !== 0 : /[wa+]/.test(flags ?? "r"));
  const openSync = fs.openSync;
  fs.openSync = wrap(
    "openSync",
    (path, flags, ...rest) => {
      const descriptor = openSync(path, flags, ...rest);
      descriptors.set(descriptor, path);
      return descriptor;
    },
    ([path, flags]) => (forWriting(flags) === writes ? path : undefined),
  );
  const open = fs.promises.open;
  fs.promises.open = wrap(
    "open",
    async (path, flags, ...rest) => {
      const handle = await open(path, flags, ...rest);
      paths.set(handle, path);
      for (const name of ofHandle) handle[name] = wrap(`handle.${name}`, handle[name], () => path);
      return handle;
    },
    ([path, flags]) => (forWriting(flags) === writes ? path : undefined),
  );
  syncBuiltinESMExports();
}

/** Changes a file as another program would. */
function change({ kind, path, from }) {
  switch (kind) {
    case "truncate":
      return original.truncateSync(path, Math.floor(original.statSync(path).size / 2));
    case "append":
      return original.appendFileSync(path, original.readFileSync(from));
    case "rewrite":
      return original.writeFileSync(path, original.readFileSync(from));
    case "replace":
      original.copyFileSync(from, `${path}.new`);
      return original.renameSync(`${path}.new`, path);
    case "remove":
      return original.unlinkSync(path);
    default:
      throw new Error(`no change '${kind}'`);
  }
}
