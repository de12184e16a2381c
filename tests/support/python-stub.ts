/**
 * @file A command that behaves like Python towards `packaged-file.ts`: `-m pip download` writes wheels, `-m zipfile -e`
 * unpacks them.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * Writes the command and returns its path.
 * @param wheels name of a wheel → path inside it → text.
 * @param behaviour `fail`: pip fails; `hang`: pip does not exit.
 */
export async function writePythonStub(
  folder: string,
  wheels: Readonly<Record<string, Readonly<Record<string, string>>>>,
  behaviour: "serve" | "fail" | "hang" = "serve",
): Promise<string> {
  const path = join(folder, "python-stub");
  const source = `#!${process.execPath}
const fs = require("node:fs"), path = require("node:path");
const [, , , tool, ...args] = process.argv;
const wheels = ${JSON.stringify(wheels)};
fs.appendFileSync(${JSON.stringify(join(folder, "calls.txt"))}, [tool, ...args].join(" ") + "\\n");
if (tool === "pip") {
  fs.writeFileSync(path.join(process.env.TMPDIR, "pip-unpack"), "12345");
  if (${JSON.stringify(behaviour)} === "fail") {
    console.error("ERROR: older\\nERROR: no matching distribution");
    process.exit(1);
  }
  if (${JSON.stringify(behaviour)} === "hang") setInterval(() => {}, 1000);
  else for (const name of Object.keys(wheels)) fs.writeFileSync(path.join(args[args.indexOf("--dest") + 1], name), name);
} else {
  const [, wheel, target] = args;
  for (const [name, text] of Object.entries(wheels[path.basename(wheel)])) {
    fs.mkdirSync(path.dirname(path.join(target, name)), { recursive: true });
    fs.writeFileSync(path.join(target, name), text);
  }
}
`;
  await writeFile(path, source, { mode: 0o755 });
  return path;
}
