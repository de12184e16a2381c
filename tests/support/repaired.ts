/**
 * @file Tiny models that were cut and repaired on random documents.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors/read.ts";
import type { TokenDocument } from "../../src/corpora/corpus.ts";
import type { PrunePlan } from "../../src/selection/plan.ts";
import { cutExpert, type Expert } from "../../src/surgery/expert.ts";
import { readRepairReport, repairExpert, withRepair } from "../../src/surgery/repair.ts";
import { holdBack } from "../../src/surgery/repair-documents.ts";
import type { RepairedMatrix } from "../../src/surgery/repair.ts";
import { seededNormal } from "./tiny-models.ts";

/** The results of repair. */
export interface Repaired {
  readonly documents: readonly TokenDocument[];
  readonly report: readonly RepairedMatrix[];
  readonly expert: Expert;
}

/** Cuts and repairs a model, and passes the expert on while its fitted matrices are available. */
export async function withRepaired<T>(checkpoint: Checkpoint, plan: PrunePlan, use: (made: Repaired) => Promise<T>): Promise<T> {
  const random = seededNormal(9);
  const documents: TokenDocument[] = Array.from({ length: 12 }, (_, index) => ({
    tokens: Int32Array.from({ length: 20 + index }, () => Math.floor(Math.abs(random() * 1e4)) % checkpoint.config.vocabSize),
    byteLength: 1,
    source: `${index}`,
  }));
  const cut = cutExpert(checkpoint, plan);
  const folder = await mkdtemp(join(tmpdir(), "cusprun-test-"));
  try {
    const path = join(folder, "repair.safetensors");
    await repairExpert(checkpoint, cut, plan, holdBack(documents), path, {});
    const file = await SafetensorsFile.open(path);
    try {
      const report = await readRepairReport(file);
      return await use({ documents, report, expert: withRepair(cut, file, report) });
    } finally {
      await file.close();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}
