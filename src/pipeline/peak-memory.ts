/** @file How much memory a piece of work takes: the process is looked at again and again while it runs. */

/** Short against every stage that holds much. */
const INTERVAL_MS = 50;

/**
 * Does work, and watches the memory of the process, whatever else it does meanwhile.
 * @returns what the work gave, and the largest resident memory that was seen, in bytes.
 */
export async function withPeakMemory<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly peakBytes: number }> {
  let peakBytes = 0;
  const look = (): void => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  };
  look();
  const watch = setInterval(look, INTERVAL_MS);
  try {
    const result = await work();
    look();
    return { result, peakBytes };
  } finally {
    clearInterval(watch);
  }
}
