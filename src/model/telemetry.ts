/**
 * @file ONNX Runtime's telemetry: since 1.29 it writes a device id and a database of events into the user's cache
 * (`Microsoft/DeveloperTools/.onnxruntime`) and a log into the temporary folder, and sends the events. It reads the
 * variable of the process when the first session is created.
 */

/**
 * Switches the telemetry off, unless the user has set `ORT_DISABLE_TELEMETRY`. Has no effect in a worker thread, whose
 * `process.env` is a copy: call it in the main thread before.
 */
export function disableTelemetry(): void {
  process.env["ORT_DISABLE_TELEMETRY"] ??= "1";
}
