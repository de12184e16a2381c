/** @file llama.cpp's own quantiser, through its library (llama_quantize.py), as the reference for ours. */

import { join } from "node:path";

/** `llama_ftype` of Q4_K_M. */
const Q4_K_M_FTYPE = "15";

/**
 * The command that quantises a GGUF file to Q4_K_M with llama.cpp. CUSPRUN_RUNTIMES is a folder with node-llama-cpp,
 * CUSPRUN_PYTHON any Python.
 * @returns the command, and the environment variables that it needs in addition to those of this process.
 */
export function llamaQuantizeCommand(source, target) {
  const libraries = join(process.env.CUSPRUN_RUNTIMES, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
  const script = join(import.meta.dirname, "llama_quantize.py");
  return {
    command: [process.env.CUSPRUN_PYTHON ?? "python3", script, libraries, source, target, Q4_K_M_FTYPE],
    environment: { LD_LIBRARY_PATH: libraries },
  };
}
