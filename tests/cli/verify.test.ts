/** @file `cusprun verify`: exit codes, and the report if no runtime is installed. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { VerificationReport } from "../../src/pipeline/verify.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { runCommand } from "./run-command.ts";

test("a missing runtime is reported as absent, and the exit code is 1", () =>
  withFolder(async (folder) => {
    const model = join(folder, "expert");
    await writeTinyCheckpoint(model, tinyModel("llama"));
    const env = { CUSPRUN_PYTHON: join(folder, "no-python") };
    const { exitCode, stdout } = await runCommand(["verify", model], { env });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/safetensors +transformers +absent/);
    expect(stdout).toMatch(/no torch and transformers.*\n\nNo runtime is installed\.\n$/);
    const json = await runCommand(["verify", model, "--json"], { env });
    expect(json).toMatchObject({ exitCode: 1, stderr: "" });
    expect(JSON.parse(json.stdout) as VerificationReport).toMatchObject({ agrees: false, verifications: [{ status: "absent" }] });
  }));

test("a runtime that fails is a result with its reason, and the exit code is 1", () =>
  withFolder(async (folder) => {
    const model = join(folder, "expert");
    await writeTinyCheckpoint(model, tinyModel("llama"));
    // Accepts the import check, then fails on the script.
    const python = join(folder, "python");
    await writeFile(python, '#!/bin/sh\n[ "$2" = "-c" ] && exit 0\necho "cannot load this" >&2\nexit 1\n', { mode: 0o755 });
    const { exitCode, stdout } = await runCommand(["verify", model, "--quiet"], { env: { CUSPRUN_PYTHON: python } });
    expect(exitCode).toBe(1);
    expect(stdout).toContain("transformers, safetensors: cannot load this");
  }));

test("a file that is not a model is named, and the exit code is that of model errors", () =>
  withFolder(async (folder) => {
    const path = join(folder, "picture.gguf");
    await writeFile(path, "\u0089PNG\r\n");
    const { exitCode, stderr } = await runCommand(["verify", path]);
    expect(exitCode).toBe(3);
    expect(stderr).toContain("picture.gguf");
  }));
