import type { Clock } from '#base/clock.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** The wait before the first retry of a key; doubles with each. */
  readonly retryInitialMs?: number;
  readonly retryMaxMs?: number;
  /** Told of every addition, start and end of work, and retry; for metrics. */
  readonly observer?: WorkQueueObserver;
}

export interface WorkQueueObserver {
  added?(depth: number): void;
  taken?(waitedMs: number, depth: number): void;
  done?(workedMs: number): void;
  retried?(): void;
}

/**
 * Keys to work on, each at most once in the queue and at most once in work: a key that is added while it is in work comes
 * again when that work is done.
 */
export class WorkQueue<Key> implements Disposable {
  readonly #clock: Clock;
  readonly #retryInitialMs: number;
  readonly #retryMaxMs: number;
  readonly #observer: WorkQueueObserver | undefined;
  /** In the order of arrival, with the time of it. */
  readonly #queued = new Map<Key, number>();
  readonly #working = new Map<Key, number>();
  /** Added again during work. */
  readonly #again = new Set<Key>();
  readonly #delayed = new Map<Key, { readonly dueMs: number; readonly cancel: () => void }>();
  readonly #failures = new Map<Key, number>();
  #takers: ((key: Key | undefined) => void)[] = [];
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#retryInitialMs = options.retryInitialMs ?? 5;
    this.#retryMaxMs = options.retryMaxMs ?? 1_000_000;
    this.#observer = options.observer;
  }

  /** Keys that wait for work. */
  get length(): number {
    return this.#queued.size;
  }

  /** Nothing waits and nothing is in work; delayed keys do not count. */
  get idle(): boolean {
    return this.#queued.size === 0 && this.#working.size === 0;
  }

  add(key: Key): void {
    if (this.#closed) return;
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#queued.has(key)) return;
    this.#queued.set(key, this.#clock.monotonic());
    this.#observer?.added?.(this.#queued.size);
    const taker = this.#takers.shift();
    if (taker) taker(this.#start());
  }

  /** Adds the key later; of several delays the shortest counts. */
  addAfter(key: Key, delayMs: number): void {
    if (this.#closed) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const dueMs = this.#clock.monotonic() + delayMs;
    const pending = this.#delayed.get(key);
    if (pending && pending.dueMs <= dueMs) return;
    pending?.cancel();
    const cancel = this.#clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, cancel });
  }

  /** Adds the key after a wait that doubles with each failure since `forget`. */
  retry(key: Key): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#observer?.retried?.();
    this.addAfter(key, Math.min(this.#retryMaxMs, this.#retryInitialMs * 2 ** failures));
  }

  /** The key has been worked on with success. */
  forget(key: Key): void {
    this.#failures.delete(key);
  }

  failures(key: Key): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, as soon as there is one; undefined when the queue is closed. `done` must follow. */
  take(): Promise<Key | undefined> {
    if (this.#queued.size > 0) return Promise.resolve(this.#start());
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise(resolve => this.#takers.push(resolve));
  }

  done(key: Key): void {
    const startedMs = this.#working.get(key);
    if (startedMs === undefined) return;
    this.#working.delete(key);
    this.#observer?.done?.(this.#clock.monotonic() - startedMs);
    if (this.#again.delete(key)) this.add(key);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    this.#queued.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #start(): Key {
    const [key, queuedMs] = this.#queued.entries().next().value as [Key, number];
    const nowMs = this.#clock.monotonic();
    this.#queued.delete(key);
    this.#working.set(key, nowMs);
    this.#observer?.taken?.(nowMs - queuedMs, this.#queued.size);
    return key;
  }
}
