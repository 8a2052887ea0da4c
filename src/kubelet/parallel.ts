/** Runs at most so many tasks at once; the others wait in order. A task keeps its own failures. */
export class Parallel {
  readonly #max: number;
  #running = 0;
  #waiting: (() => Promise<void>)[] = [];
  #head = 0;
  #idle: (() => void)[] = [];
  #closed = false;

  constructor(max: number) {
    this.#max = max;
  }

  run(task: () => Promise<void>): void {
    if (this.#closed) return;
    if (this.#running >= this.#max) this.#waiting.push(task);
    else this.#start(task);
  }

  /** Forgets what waits; resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting = [];
    this.#head = 0;
    await this.idle();
  }

  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise(resolve => this.#idle.push(resolve));
  }

  #start(task: () => Promise<void>): void {
    this.#running++;
    void task().finally(() => {
      this.#running--;
      const next = this.#next();
      if (next) this.#start(next);
      else if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
    });
  }

  #next(): (() => Promise<void>) | undefined {
    const task = this.#waiting[this.#head];
    if (!task) return undefined;
    this.#head++;
    if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return task;
  }
}
