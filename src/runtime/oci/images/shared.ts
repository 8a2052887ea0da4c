/** Work that several callers want at once is done once; it is aborted when the last of them has gone. */
export class SharedWork {
  readonly #running = new Map<string, { promise: Promise<void>; abort: AbortController; waiting: number }>();

  async run(key: string, work: (signal: AbortSignal) => Promise<void>, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    let job = this.#running.get(key);
    if (!job || job.abort.signal.aborted) {
      const abort = new AbortController();
      const promise = work(abort.signal);
      const started = { promise, abort, waiting: 0 };
      job = started;
      this.#running.set(key, started);
      const forget = () => {
        if (this.#running.get(key) === started) this.#running.delete(key);
      };
      promise.then(forget, forget);
    }
    job.waiting++;
    try {
      await (signal ? Promise.race([job.promise, aborted(signal)]) : job.promise);
    } finally {
      if (--job.waiting === 0) job.abort.abort(new Error('nobody waits for it any more'));
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
