import { setTimeout as pause } from 'node:timers/promises';

/**
 * Resolves with what a condition gives as soon as it is neither `undefined` nor false. A condition that throws does not
 * hold yet: the server may be on its way back. Rejects with what it was waiting for when it does not hold in time.
 */
export async function eventually<Value>(
  what: string,
  condition: () => Promise<Value | undefined | false> | Value | undefined | false,
  withinMs = 30_000,
): Promise<Value> {
  const deadlineMs = performance.now() + withinMs;
  let last: unknown;
  do {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await pause(40);
  } while (performance.now() < deadlineMs);
  throw new Error(`it did not come to pass within ${withinMs} ms: ${what}`, { cause: last });
}
