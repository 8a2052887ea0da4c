import { eventLoopTurn, sleepOn, type Clock } from '#base/clock.ts';

/** What can be switched off at once, like a process by SIGKILL: nothing of it is heard again. */
export class Life {
  readonly name: string;
  readonly #onEnd = new Set<() => void>();
  #isOver = false;
  /** How wrong its wall clock is. */
  skewMs = 0;

  constructor(name: string) {
    this.name = name;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Calls back when it ends, for the simulated world: what runs in the process hears nothing. The answer takes it back. */
  atEnd(run: () => void): () => void {
    if (this.#isOver) run();
    else this.#onEnd.add(run);
    return () => this.#onEnd.delete(run);
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const run of this.#onEnd) run();
    this.#onEnd.clear();
  }
}

interface Timer {
  readonly dueMs: number;
  readonly sequence: number;
  run: (() => void) | undefined;
}

/** The one source of time. What is due runs in order of its time, then of its making; between two the event loop gets a turn. */
export class VirtualTime {
  readonly startMs = Date.UTC(2026, 0, 1);
  #nowMs = this.startMs;
  #sequence = 0;
  /** A binary heap. */
  readonly #timers: Timer[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Since the start. */
  get elapsedMs(): number {
    return this.#nowMs - this.startMs;
  }

  /** The clock of a process: its timers end with it. */
  clockOf(life: Life): Clock {
    const clock: Clock = {
      now: () => Math.floor(this.#nowMs + life.skewMs),
      monotonic: () => this.elapsedMs,
      after: (delayMs, run) =>
        this.after(delayMs, () => {
          if (!life.isOver) run();
        }),
      sleep: (delayMs, signal) => sleepOn(clock, delayMs, signal),
    };
    return clock;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence++, run };
    this.#push(timer);
    return () => {
      timer.run = undefined;
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise(resolve => this.after(delayMs, resolve));
  }

  /** Runs until something is done; throws when it is not done within `withinMs`, or can never be. */
  async runUntil<Value>(what: string, promise: Promise<Value>, withinMs = Number.POSITIVE_INFINITY): Promise<Value> {
    const untilMs = this.#nowMs + withinMs;
    let settled = false;
    const done = promise.finally(() => {
      settled = true;
    });
    done.catch(() => undefined);
    for (let idleTurns = 0; ; ) {
      // Some hundred turns, because work that is due at once may take several.
      await eventLoopTurn();
      if (settled) return done;
      if (this.#step(untilMs)) idleTurns = 0;
      else if (++idleTurns > 500) throw new Error(`cannot go on with ${what}: nothing is left that could happen`);
    }
  }

  async runFor(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    await eventLoopTurn();
    while (this.#step(untilMs)) await eventLoopTurn();
    this.#nowMs = untilMs;
  }

  #step(untilMs: number): boolean {
    while (true) {
      const next = this.#timers[0];
      if (!next || next.dueMs > untilMs) return false;
      this.#pop();
      if (!next.run) continue;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.run();
      return true;
    }
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent] as Timer)) break;
      heap[at] = heap[parent] as Timer;
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#timers;
    const last = heap.pop() as Timer;
    if (heap.length === 0) return;
    let at = 0;
    while (true) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Timer, heap[child] as Timer)) child++;
      if (!isBefore(heap[child] as Timer, last)) break;
      heap[at] = heap[child] as Timer;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(one: Timer, other: Timer): boolean {
  return one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.sequence < other.sequence);
}
