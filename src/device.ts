/**
 * @file Where the arithmetic of the layers runs, beside the CPU.
 */

/**
 * Devices by the names of ONNX Runtime's execution providers: NVIDIA by CUDA, whatever WebGPU finds (Vulkan, Metal, Direct3D), Direct3D 12 by DirectML, Apple by
 * Core ML. Which of them a machine has depends on its system and on what onnxruntime-node brought.
 */
export const DEVICES = ["cpu", "cuda", "webgpu", "dml", "coreml"] as const;

/** See `DEVICES`. */
export type Device = (typeof DEVICES)[number];
