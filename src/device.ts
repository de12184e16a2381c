/**
 * @file The devices that the layers can be computed on.
 */

/**
 * Devices by the names of ONNX Runtime's execution providers: CUDA for NVIDIA GPUs, WebGPU on Vulkan, Metal or
 * Direct3D, DirectML on Direct3D 12, and Core ML on Apple systems. Which of them are available depends on the operating
 * system and on the providers that onnxruntime-node ships for it.
 */
export const DEVICES = ["cpu", "cuda", "webgpu", "dml", "coreml"] as const;

/** See `DEVICES`. */
export type Device = (typeof DEVICES)[number];
