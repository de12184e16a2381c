/**
 * @file What a trial is given and what it says.
 */

import type { Ended } from "./command.ts";
import type { Random } from "./random.ts";
import type { Reference } from "./references.ts";
import type { Workbench } from "./workbench.ts";

/** What a trial is given. */
export interface TrialSetting {
  readonly bench: Workbench;
  readonly references: readonly Reference[];
  readonly random: Random;
}

/** What a trial says. */
export interface Trial {
  /** Its row in the table. */
  readonly group: string;
  /** What was done, in words. */
  readonly how: string;
  /** What was wrong right after the fault. */
  readonly problems: readonly string[];
  readonly ended: Ended;
  /** From a signal to the end; null if there was none to answer. */
  readonly stoppingMs: number | null;
  /** The checks that run the command once more. The places are as the fault left them until then. */
  readonly afterwards: () => Promise<readonly string[]>;
}
