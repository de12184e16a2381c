/**
 * @file Places of the fuzzer. It runs compiled, from tests/fuzz/dist/tests/fuzz.
 */

import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The repository. */
export const ROOT: string = join(import.meta.dirname, "../../../../..");
/** Inputs that once failed. */
export const CORPUS: string = join(ROOT, "tests/fuzz/corpus");
/** Files to start from. */
export const FIXTURES: string = join(ROOT, "tests/fixtures");
/** Where inputs are written: in memory, if the system has such a place. */
export const SCRATCH: string = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
