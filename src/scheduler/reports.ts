import type { Clock } from '#base/clock.ts';

/** Upstream's scheduler asks its API server 50 times a second at most, after a burst of 100. */
const burst = 100;
const perSecond = 50;

/**
 * What the scheduler has to say about pods that fit nowhere, at a measured pace: thousands of such pods must not crowd out
 * everybody else's requests. The newest report of a pod takes the place of the one that still waits: were it to go to the
 * end of the line, pods that somebody is just changing one after the other would always stand first.
 */
export class Reports {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, () => void>();
  #tokens = burst;
  #countedMs: number;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#countedMs = clock.monotonic();
    signal.addEventListener('abort', () => {
      this.#cancel?.();
      this.#waiting.clear();
    });
  }

  add(key: string, report: () => void): void {
    this.#waiting.set(key, report);
    this.#send();
  }

  #send(): void {
    if (this.#cancel) return;
    const nowMs = this.#clock.monotonic();
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#countedMs) * perSecond) / 1000);
    this.#countedMs = nowMs;
    for (const [key, report] of this.#waiting) {
      if (this.#tokens < 1) break;
      this.#tokens--;
      this.#waiting.delete(key);
      report();
    }
    if (this.#waiting.size === 0) return;
    this.#cancel = this.#clock.after(1000 / perSecond, () => {
      this.#cancel = undefined;
      this.#send();
    });
  }
}
