/** @file The help of the program and of every command. */

import { describe, expect, test } from "vitest";
import { COMMAND_NAMES } from "../../src/cli/commands.ts";
import { displayWidth } from "../../src/report/format.ts";
import { runCommand } from "./run-command.ts";

describe("help", () => {
  test("of the program", async () => {
    const { stdout, exitCode } = await runCommand([]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatchSnapshot();
  });

  test.each(COMMAND_NAMES)("of %s", async (name) => {
    const { stdout, stderr, exitCode } = await runCommand([name, "--help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatchSnapshot();
    expect(Math.max(...stdout.split("\n").map(displayWidth))).toBeLessThanOrEqual(120);
  });

  test("of the package's version", async () => {
    expect((await runCommand(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
