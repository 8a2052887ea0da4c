import { Worker } from 'node:worker_threads';
import {
  CompactedError,
  type Entry,
  ExpectationError,
  type Expected,
  FutureRevisionError,
  StorageUnavailableError,
  type RangeOptions,
  type RangeResult,
  type Storage,
  type StorageEvent,
  type StoredValue,
  type Watcher,
} from '../storage.ts';
import { Watchers } from '../watchers.ts';
import {
  type Answer,
  expectAbsent,
  expectAny,
  isDeletion,
  type Question,
  type WireEntry,
  type WireError,
  type WireEvent,
  type WireRange,
  type WriteResults,
} from './protocol.ts';

export interface SqliteOptions {
  /** Where the file is, or is made. One process at a time. */
  readonly directory: string;
  /** What has the file instead of a thread of its own: the simulator's. */
  readonly thread?: DatabaseThread;
}

/** Who answers questions about the file, one after the other. */
export interface DatabaseThread {
  /** Called once, before anything is sent. The first answer has the id 0: the file is open, or why it is not. */
  listen(listeners: { answered(answer: Answer): void; ended(error: Error): void }): void;
  send(question: Question, transferred: readonly ArrayBuffer[]): void;
}

/**
 * Keeps everything in one SQLite file, which a thread of its own writes. Writes that come while others are being synced
 * share the next commit, so many clients together cost little more than one.
 */
export async function openSqliteStorage(options: SqliteOptions): Promise<Storage> {
  const storage = new SqliteStorage(options.thread ?? workerThread(options.directory));
  await storage.opened;
  return storage;
}

function workerThread(directory: string): DatabaseThread {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: { directory },
    // Flags for this process' entry (`--eval`, `--test`) are not for the thread.
    execArgv: [],
    // It keeps nothing beyond one batch; a large young generation would only be memory unused.
    resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 512 },
  });
  return {
    listen({ answered, ended }) {
      worker.on('message', answered);
      worker.on('error', error => ended(error as Error));
      worker.on('exit', () => ended(new Error('cannot reach the store: its thread has ended')));
    },
    send: (question, transferred) => worker.postMessage(question, transferred),
  };
}

interface PendingWrite {
  readonly key: string;
  readonly expected: Expected;
  /** Undefined deletes. */
  readonly value: StoredValue | undefined;
  readonly resolve: (revision: number) => void;
  readonly reject: (error: Error) => void;
}

/** Writes that share a commit: more would make the first ones wait. */
const batchWritesMax = 512;
const batchBytesMax = 8 * 1024 * 1024;

class SqliteStorage implements Storage {
  readonly opened: Promise<void>;
  readonly #thread: DatabaseThread;
  readonly #ended = Promise.withResolvers<void>();
  readonly #watchers = new Watchers();
  readonly #asked = new Map<number, { resolve(value: unknown, revision: number): void; reject(error: Error): void }>();
  #nextId = 1;
  #revision = 1;
  #waiting: PendingWrite[] = [];
  #committing = false;
  #flushing = false;
  #broken: Error | undefined;

  constructor(thread: DatabaseThread) {
    this.#thread = thread;
    this.opened = new Promise((resolve, reject) => {
      this.#asked.set(0, {
        resolve: (_compacted, revision) => {
          this.#revision = revision;
          resolve();
        },
        reject,
      });
    });
    thread.listen({
      answered: answer => this.#answered(answer),
      ended: error => {
        this.#break(error);
        this.#ended.resolve();
      },
    });
  }

  currentRevision(): Promise<number> {
    return Promise.resolve(this.#revision);
  }

  async get(key: string, { revision }: { readonly revision?: number } = {}): Promise<Entry | undefined> {
    const found = (await this.#ask({ type: 'get', id: 0, key, revision })) as WireEntry | undefined;
    return found && entryOf(found);
  }

  async range(prefix: string, { revision, start, limit }: RangeOptions = {}): Promise<RangeResult> {
    const { entries, ...rest } = (await this.#ask({
      type: 'range',
      id: 0,
      prefix,
      revision,
      start,
      limit,
    })) as WireRange;
    return { ...rest, entries: entries.map(entryOf) };
  }

  put(key: string, value: StoredValue, expected: Expected): Promise<number> {
    return this.#write(key, value, expected);
  }

  delete(key: string, expected: Expected): Promise<number> {
    return this.#write(key, undefined, expected);
  }

  async watch(prefix: string, afterRevision: number, watcher: Watcher, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw signal.reason as Error;
    // What is committed while the history is read is kept back, and follows it.
    let pending: StorageEvent[] | undefined = [];
    const gate: Watcher = {
      onEvents: events => {
        if (pending) pending.push(...events);
        else watcher.onEvents(events);
      },
      onEnd: error => watcher.onEnd(error),
    };
    const stop = new AbortController();
    this.#watchers.add(prefix, gate, AbortSignal.any([signal, stop.signal]), afterRevision);
    try {
      const missed = (await this.#ask({
        type: 'history',
        id: 0,
        prefix,
        after: afterRevision,
      })) as readonly WireEvent[];
      const last = missed.at(-1)?.revision ?? afterRevision;
      const events = [...missed.map(eventOf), ...pending.filter(event => event.revision > last)];
      pending = undefined;
      if (events.length > 0 && !signal.aborted) watcher.onEvents(events);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  }

  async compact(revision: number): Promise<void> {
    await this.#ask({ type: 'compact', id: 0, revision });
  }

  async snapshot(file: string): Promise<void> {
    await this.#ask({ type: 'snapshot', id: 0, file });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watchers.clear();
    if (this.#broken) return;
    while (this.#waiting.length > 0 || this.#committing) await new Promise(resolve => setImmediate(resolve));
    await this.#ask({ type: 'close', id: 0 });
    await this.#ended.promise;
  }

  #write(key: string, value: StoredValue | undefined, expected: Expected): Promise<number> {
    if (this.#broken) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, value, expected, resolve, reject });
      if (this.#committing || this.#flushing) return;
      this.#flushing = true;
      // Everything that this turn of the event loop brings goes into one commit.
      setImmediate(() => {
        this.#flushing = false;
        this.#flush();
      });
    });
  }

  #flush(): void {
    if (this.#committing || this.#waiting.length === 0 || this.#broken) return;
    const batch = this.#takeBatch();
    this.#committing = true;
    const lengths: number[] = [];
    let total = 0;
    for (const { value } of batch) {
      lengths.push(value ? value.bytes.length : isDeletion);
      total += value?.bytes.length ?? 0;
    }
    const values = new Uint8Array(total);
    let offset = 0;
    for (const { value } of batch) {
      if (!value) continue;
      values.set(value.bytes, offset);
      offset += value.bytes.length;
    }
    const id = this.#nextId++;
    this.#asked.set(id, {
      resolve: (results, revision) => this.#committed(batch, results as WriteResults, revision),
      reject: error => this.#failed(batch, error),
    });
    const keys = batch.map(write => write.key);
    const expected = batch.map(write => codeOf(write.expected));
    this.#thread.send({ type: 'write', id, keys, expected, lengths, values }, [values.buffer]);
  }

  #takeBatch(): PendingWrite[] {
    let count = 0;
    let bytes = 0;
    while (count < this.#waiting.length && count < batchWritesMax && bytes < batchBytesMax)
      bytes += this.#waiting[count++]?.value?.bytes.length ?? 0;
    return this.#waiting.splice(0, count);
  }

  #committed(batch: readonly PendingWrite[], results: WriteResults, revision: number): void {
    const events: StorageEvent[] = [];
    for (const [index, { key, value }] of batch.entries()) {
      const at = results.revisions[index] as number;
      if (at === 0) continue;
      const createRevision = results.createRevisions[index] as number;
      const found = results.found[index];
      if (value) events.push({ type: 'put', key, revision: at, value, createRevision });
      else events.push({ type: 'delete', key, revision: at, value: { bytes: bufferOf(found?.bytes) }, createRevision });
    }
    this.#revision = revision;
    this.#committing = false;
    // The next commit runs in its thread while we tell the watchers.
    this.#flush();
    if (events.length > 0) this.#watchers.deliver(events);
    for (const [index, write] of batch.entries()) {
      const at = results.revisions[index] as number;
      const refused = results.refused[index];
      const found = results.found[index];
      if (at > 0) write.resolve(at);
      else if (refused !== undefined) write.reject(new StorageUnavailableError(refused));
      else write.reject(new ExpectationError(write.key, found && entryOf(found)));
    }
  }

  #failed(batch: readonly PendingWrite[], error: Error): void {
    this.#committing = false;
    for (const write of batch) write.reject(error);
    this.#flush();
  }

  #ask(question: Question): Promise<unknown> {
    if (this.#broken) return Promise.reject(this.#broken);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#thread.send({ ...question, id }, []);
    });
  }

  #answered(answer: Answer): void {
    const asked = this.#asked.get(answer.id);
    this.#asked.delete(answer.id);
    if (answer.ok) asked?.resolve(answer.value, answer.revision);
    else asked?.reject(errorOf(answer.error));
  }

  #break(error: Error): void {
    if (this.#broken) return;
    this.#broken = error;
    for (const asked of this.#asked.values()) asked.reject(error);
    for (const write of this.#waiting.splice(0)) write.reject(error);
    this.#asked.clear();
    this.#watchers.end(error);
  }
}

function codeOf(expected: Expected): number {
  if (expected === 'absent') return expectAbsent;
  return expected === 'any' ? expectAny : expected;
}

function entryOf({ key, bytes, createRevision, modRevision }: WireEntry): Entry {
  return { key, value: { bytes: bufferOf(bytes) }, createRevision, modRevision };
}

function eventOf({ key, deleted, revision, createRevision, bytes }: WireEvent): StorageEvent {
  return { type: deleted ? 'delete' : 'put', key, revision, createRevision, value: { bytes: bufferOf(bytes) } };
}

/** A Uint8Array that crossed threads, as a Buffer over the same memory. */
function bufferOf(bytes: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function errorOf({ name, message, other = 0 }: WireError): Error {
  const revision = Number(/revision (\d+)/.exec(message)?.[1] ?? 0);
  if (name === 'CompactedError') return new CompactedError(revision, other);
  if (name === 'FutureRevisionError') return new FutureRevisionError(revision, other);
  return name === 'StorageUnavailableError' ? new StorageUnavailableError(message) : new Error(message);
}
