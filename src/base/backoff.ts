/** Grows from `initialMs` by `factor` up to `maxMs`; `reset` starts over. */
export interface Backoff {
  next(): number;
  reset(): void;
}

export function exponentialBackoff(options: { initialMs: number; maxMs: number; factor?: number }): Backoff {
  const { initialMs, maxMs, factor = 2 } = options;
  let delayMs = initialMs;
  return {
    next() {
      const current = delayMs;
      delayMs = Math.min(maxMs, delayMs * factor);
      return current;
    },
    reset() {
      delayMs = initialMs;
    },
  };
}
