/**
 * @file Verification as one function: an expert's folder or file → its comparison in each installed stock runtime.
 */

import { exists } from "../folders.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { isRaggedModelType } from "../families/index.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import { checkDevice } from "../model/sessions.ts";
import type { Runtime, RuntimeTarget } from "../verification/runtime.ts";
import { RUNTIMES } from "../verification/runtimes.ts";
import { verifyPart, type Verification } from "../verification/verify.ts";
import { jobOptions } from "./job-options.ts";

/** Which expert is verified, and how. */
export interface VerifyExpertOptions extends JobOptions {
  /** A folder or a GGUF file that cusprun wrote, or any other model in one of these formats. */
  readonly expert: string;
  /**
   * The expert from which an ONNX part was exported: cusprun does not read ONNX, and compares such a part with this
   * expert.
   */
  readonly against?: string;
  /** Lets Python run the code in the folder, which experts whose layers differ in size require. Default false. */
  readonly trustRemoteCode?: boolean;
}

/** The result of verification. Plain JSON. */
export interface VerificationReport {
  readonly expert: string;
  /** Whether at least one runtime answered, and all that answered agree. */
  readonly agrees: boolean;
  readonly verifications: readonly Verification[];
}

/**
 * Verifies an expert in every runtime that is installed and loads one of its parts.
 * @throws CusprunError `MODEL_NOT_FOUND` if there is nothing that a runtime loads, and the errors of `checkDevice` and
 *   of opening and reading the model, which name a truncated or unknown file.
 * @example
 * ```ts
 * import { verifyExpert } from "cusprun";
 *
 * const { agrees, verifications } = await verifyExpert({ expert: "experts/smollm2-en-medical" });
 * for (const { runtime, part, status, reason } of verifications) console.log(runtime, part, status, reason);
 * if (!agrees) process.exitCode = 1;
 * ```
 */
export async function verifyExpert(options: VerifyExpertOptions): Promise<VerificationReport> {
  const { expert, against, trustRemoteCode = false } = options;
  if (!(await exists(expert))) throw nothingToVerify(expert, "nothing");
  const parts: { readonly runtime: Runtime; readonly target: RuntimeTarget }[] = [];
  for (const runtime of RUNTIMES) {
    for (const target of await runtime.targetsOf(expert)) parts.push({ runtime, target });
  }
  // Throws the error that describes a file of no known format.
  if (parts.length === 0) await (await openCheckpoint(expert)).close();
  if (parts.length === 0) throw nothingToVerify(expert, "no safetensors, GGUF or ONNX");
  const job = jobOptions(options);
  await checkDevice(job.device);
  const verifications: Verification[] = [];
  for (const { runtime, target } of parts) {
    const absent = await runtime.absence();
    if (absent !== null) {
      const skipped = { runtime: runtime.name, version: null, part: target.label, comparison: null, elapsedMs: 0 };
      verifications.push({ ...skipped, status: "absent", reason: absent.reason });
      continue;
    }
    const isOnnx = target.label.includes("onnx/");
    const checkpoint = await openCheckpoint(isOnnx && against !== undefined ? against : target.reference);
    try {
      const untrusted = needsTrust(checkpoint, target) && !trustRemoteCode;
      verifications.push(
        untrusted ? refusedTrust(runtime, target) : await verifyPart(checkpoint, runtime, target, { ...job, trustRemoteCode }),
      );
    } finally {
      await checkpoint.close();
    }
  }
  const answered = verifications.filter(({ status }) => status !== "absent");
  return { expert, agrees: answered.length > 0 && answered.every(({ status }) => status === "agrees"), verifications };
}

/** Only a folder that contains Python code needs to be trusted. */
function needsTrust({ configJson }: Checkpoint, { label }: RuntimeTarget): boolean {
  return label === "safetensors" && isRaggedModelType(configJson["model_type"]);
}

function refusedTrust({ name }: Runtime, { label }: RuntimeTarget): Verification {
  const reason = "its layers differ in size, which requires running Python code from the folder: pass --trust-remote-code";
  return { runtime: name, version: null, part: label, status: "failed", reason, comparison: null, elapsedMs: 0 };
}

function nothingToVerify(where: string, found: string): CusprunError {
  return new CusprunError("MODEL_NOT_FOUND", {
    where,
    found,
    expected: "a folder with safetensors, GGUF or ONNX files, or a GGUF file",
    remedy: "Pass an expert that 'cusprun prune' or 'cusprun export' wrote",
  });
}
