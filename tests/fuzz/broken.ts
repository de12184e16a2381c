/**
 * @file What must hold of accepted input. A violation is thrown as an error without a code, which is a fault.
 */

/** An accepted input that breaks a promise. */
class BrokenPromise extends Error {
  override readonly name: string = "BrokenPromise";
}

/** Fails unless a promise about accepted input is kept. */
export function mustHold(isKept: boolean, promise: string): asserts isKept {
  if (!isKept) throw new BrokenPromise(promise);
}
