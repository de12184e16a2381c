/** @file llama.cpp's own quantiser, by way of its library (llama_quantize.py): what ours is compared with. */

import { join } from "node:path";

/** `llama_ftype` of Q4_K_M. */
const Q4_K_M_FTYPE = "15";

/**
 * What to run for llama.cpp's Q4_K_M of a GGUF file. CUSPRUN_RUNTIMES is a folder with node-llama-cpp, CUSPRUN_PYTHON any Python.
 * @returns the command, and the variables that it needs beside those of this process.
 */
export function llamaQuantizeCommand(source, target) {
  const libraries = join(process.env.CUSPRUN_RUNTIMES, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
  const script = join(import.meta.dirname, "llama_quantize.py");
  return {
    command: [process.env.CUSPRUN_PYTHON ?? "python3", script, libraries, source, target, Q4_K_M_FTYPE],
    environment: { LD_LIBRARY_PATH: libraries },
  };
}
