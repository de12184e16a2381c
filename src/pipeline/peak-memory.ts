/** @file The peak memory of a piece of work, sampled from the process while it runs. */

/** Time between samples: short compared with every stage that needs much memory. */
const INTERVAL_MS = 50;

/**
 * Does work, and samples the memory of the whole process meanwhile.
 * @returns the result of the work, and the largest resident memory that was sampled, in bytes.
 */
export async function withPeakMemory<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly peakBytes: number }> {
  let peakBytes = 0;
  const sample = (): void => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  };
  sample();
  const timer = setInterval(sample, INTERVAL_MS);
  try {
    const result = await work();
    sample();
    return { result, peakBytes };
  } finally {
    clearInterval(timer);
  }
}
