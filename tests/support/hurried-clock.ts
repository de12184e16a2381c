/**
 * @file A clock in a hurry: every piece of work takes hours, so that every step of a journal is saved.
 */

import { vi } from "vitest";

/** Lets an hour pass at every look at the clock, until mocks are restored. */
export function hurryClock(): void {
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => (now += 3_600_000));
}
