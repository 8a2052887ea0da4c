/**
 * Time as a parameter. Production code gets `systemClock`; tests and the simulator get a `ManualClock` that they advance.
 * This file is the only one that reads the machine's clock or sets a bare timer.
 */
export interface Clock {
  /** Milliseconds since the epoch. Can jump when the machine's clock is set. */
  now(): number;
  /** Milliseconds of a clock that never goes back; for durations. */
  monotonic(): number;
  /** Calls `run` once after `delayMs`. The returned function cancels it. */
  after(delayMs: number, run: () => void): () => void;
  /** Resolves after `delayMs`; rejects with the signal's reason when it is aborted first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** setTimeout fires at once for anything longer; longer waits are cut into pieces. */
const timeoutMsMax = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number) => {
      const stepMs = Math.min(leftMs, timeoutMsMax);
      timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : run()), stepMs);
    };
    arm(Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
  sleep: (delayMs, signal) => sleepOn(systemClock, delayMs, signal),
};

/** A clock that stands still until a test advances it; due timers run in order of their time. */
export class ManualClock implements Clock {
  #nowMs: number;
  readonly #startMs: number;
  #timers: { dueMs: number; sequence: number; run: () => void }[] = [];
  #sequence = 0;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
    this.#startMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs - this.#startMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence++, run };
    const at = this.#timers.findIndex(other => other.dueMs > timer.dueMs);
    this.#timers.splice(at < 0 ? this.#timers.length : at, 0, timer);
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer);
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  /** The time of the next timer, if there is one. */
  get nextDueMs(): number | undefined {
    return this.#timers[0]?.dueMs;
  }

  /** Moves time forward, running what comes due; between two timers the event loop gets a turn. */
  async advance(byMs: number): Promise<void> {
    const targetMs = this.#nowMs + byMs;
    await eventLoopTurn();
    for (let next = this.#timers[0]; next && next.dueMs <= targetMs; next = this.#timers[0]) {
      this.#timers.shift();
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.run();
      await eventLoopTurn();
    }
    this.#nowMs = targetMs;
    await eventLoopTurn();
  }
}

/** Lets everything that is already due in the event loop happen first. */
export function eventLoopTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}

/** A clock's `sleep`, made of its `after`. */
export function sleepOn(clock: Pick<Clock, 'after'>, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.reject(signal.reason as Error);
  return new Promise((resolve, reject) => {
    const aborted = () => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', aborted);
      resolve();
    });
    signal?.addEventListener('abort', aborted, { once: true });
  });
}
