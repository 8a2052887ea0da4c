import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Finding, FuzzRun } from './fuzzing.ts';
import { type FuzzOrder, type FuzzReport, sharedInputBytesMax } from './worker.ts';

/** Without another input for so long the thread is stuck. */
const stuckMs = 30_000;
const heapMegabytesMax = 768;

/** A thread that fuzzes; an input at which it stands still or dies is a finding like any other, and the next thread goes on. */
export class WatchedFuzzing implements AsyncDisposable {
  readonly #shared = new SharedArrayBuffer(8 + sharedInputBytesMax);
  readonly #numbers = new Int32Array(this.#shared, 0, 2);
  readonly #stuckMs: number;
  #worker: Worker | undefined;
  /** What a thread that is ended makes of files is here. */
  #scratch: string | undefined;

  constructor(options: { readonly stuckMs?: number } = {}) {
    this.#stuckMs = options.stuckMs ?? stuckMs;
  }

  async fuzz(order: FuzzOrder): Promise<FuzzRun> {
    const { target } = order;
    const worker = (this.#worker ??= this.#start());
    const ended = Promise.withResolvers<FuzzRun>();
    const before = Atomics.load(this.#numbers, 0);
    const fails = (what: Finding['what'], message: string) => {
      this.#worker = undefined;
      const input = Buffer.from(Buffer.from(this.#shared, 8, this.#numbers[1]));
      const inputs = Atomics.load(this.#numbers, 0) - before;
      ended.resolve({ inputs, findings: [{ target, what, message, input }], ways: new Map() });
    };
    worker.once('message', ({ inputs, findings, ways }: FuzzReport) =>
      ended.resolve({
        inputs,
        findings: findings.map(each => ({ ...each, input: Buffer.from(each.input) })),
        ways: new Map(ways.map(([way, input]) => [way, Buffer.from(input)])),
      }),
    );
    worker.once('error', (error: Error & { code?: string }) =>
      fails(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'error', error.stack ?? error.message),
    );
    worker.once('exit', code => fails('error', `the thread ended with ${code}`));
    worker.postMessage(order);
    let [seen, seenMs] = [-1, performance.now()];
    const watch = setInterval(() => {
      const count = Atomics.load(this.#numbers, 0);
      if (count !== seen) [seen, seenMs] = [count, performance.now()];
      // The thread has first to load what it reads with.
      else if (performance.now() - seenMs > (count === before ? stuckMs : this.#stuckMs))
        fails('hang', `nothing more after ${count - before} inputs`);
    }, 100);
    try {
      return await ended.promise;
    } finally {
      clearInterval(watch);
      for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event);
      if (this.#worker !== worker) await worker.terminate();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
    if (this.#scratch !== undefined) rmSync(this.#scratch, { recursive: true, force: true });
  }

  #start(): Worker {
    this.#scratch ??= mkdtempSync(join(tmpdir(), 'windlass-fuzz-'));
    return new Worker(new URL('./worker.ts', import.meta.url), {
      env: { ...process.env, TMPDIR: this.#scratch },
      workerData: this.#shared,
      resourceLimits: { maxOldGenerationSizeMb: heapMegabytesMax },
    });
  }
}
