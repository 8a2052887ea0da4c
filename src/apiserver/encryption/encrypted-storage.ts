import {
  CompactedError,
  type Entry,
  ExpectationError,
  type Expected,
  type RangeOptions,
  type RangeResult,
  type SharedStorage,
  type Storage,
  type StorageEvent,
  type StoredValue,
  type Watcher,
  type WriteOptions,
} from '#storage/storage.ts';
import type { Read, Transformer } from './transformer.ts';

/** Who encrypts what. Both may change: keys are rotated. */
export interface Transformers {
  /** `secrets`, `deployments.apps`, of a key of the store. */
  resourceOf(key: string): string;
  of(resource: string): Transformer;
}

/** A store that only knows what is encrypted, over any other. Keys stay readable. */
export function encryptedStorage(storage: Storage, transformers: Transformers): Storage {
  return new EncryptedStorage(storage, transformers);
}

/** What this process has put there: nobody decrypts it again. */
class Rider {
  readonly value: StoredValue;
  readonly writer: string;

  constructor(value: StoredValue, writer: string) {
    this.value = value;
    this.writer = writer;
  }
}

class EncryptedStorage implements Storage {
  readonly #storage: Storage;
  readonly #transformers: Transformers;
  /** Events that wait for a key of theirs: whoever wrote waits with them. */
  #behind: Promise<void> | undefined;
  readonly #outdated = new Map<string, () => boolean>();

  constructor(storage: Storage, transformers: Transformers) {
    this.#storage = storage;
    this.#transformers = transformers;
  }

  get shared(): SharedStorage | undefined {
    return this.#storage.shared;
  }

  currentRevision(): Promise<number> {
    return this.#storage.currentRevision();
  }

  async get(key: string, options?: { readonly revision?: number }): Promise<Entry | undefined> {
    const entry = await this.#storage.get(key, options);
    return entry && this.#entryOf(entry);
  }

  /** What is past may be encrypted with keys that nobody has any more: then it counts as compacted. */
  async range(prefix: string, options?: RangeOptions): Promise<RangeResult> {
    const { entries, ...rest } = await this.#storage.range(prefix, options);
    const opened: Entry[] = [];
    try {
      for (const entry of entries) {
        const found = this.#entryOf(entry);
        // Only what somebody has to be asked for is waited for.
        opened.push(found instanceof Promise ? await found : found);
      }
    } catch (error) {
      const current = await this.#storage.currentRevision();
      if (options?.revision === undefined || options.revision >= current) throw error;
      throw new CompactedError(options.revision, current);
    }
    return { ...rest, entries: opened };
  }

  async put(key: string, value: StoredValue, expected: Expected, options?: WriteOptions): Promise<number> {
    const transformer = this.#transformers.of(this.#transformers.resourceOf(key));
    const { writer } = transformer;
    const bytes = transformer.write(value.bytes, key);
    const revision = await this.#expecting(
      this.#storage.put(key, { bytes, object: new Rider(value, writer) }, expected, options),
    );
    await this.#behind;
    return revision;
  }

  async delete(key: string, expected: Expected): Promise<number> {
    const revision = await this.#expecting(this.#storage.delete(key, expected));
    await this.#behind;
    return revision;
  }

  async watch(prefix: string, afterRevision: number, watcher: Watcher, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const turns = new Turns();
    let stands = false;
    let unreadableError: unknown;
    const failed = async (error: unknown) => {
      if (stop.signal.aborted) return;
      stop.abort(new Error('an event cannot be read'));
      unreadableError = error;
      // Who follows reads what is there now: perhaps that can be read.
      if (stands) watcher.onEnd(new CompactedError(afterRevision, await this.#storage.currentRevision()));
    };
    const inTurn = (run: () => void | Promise<void>) => {
      if (stop.signal.aborted || signal.aborted) return;
      const pending = turns.take(run, failed);
      if (pending) this.#wait(pending);
    };
    await this.#storage.watch(
      prefix,
      afterRevision,
      {
        onEvents: events =>
          inTurn(() => {
            const opened = events.map(event => this.#eventOf(event));
            if (opened.some(each => each instanceof Promise))
              return Promise.all(opened).then(all => watcher.onEvents(all));
            watcher.onEvents(opened as StorageEvent[]);
            return undefined;
          }),
        onProgress: revision => inTurn(() => watcher.onProgress?.(revision)),
        onEnd: error => inTurn(() => watcher.onEnd(error)),
      },
      AbortSignal.any([signal, stop.signal]),
    );
    await turns.behind;
    stands = true;
    if (unreadableError !== undefined) throw new CompactedError(afterRevision, await this.#storage.currentRevision());
  }

  compact(revision: number): Promise<void> {
    return this.#storage.compact(revision);
  }

  snapshot(file: string): Promise<void> {
    return this.#storage.snapshot(file);
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#storage[Symbol.asyncDispose]();
  }

  #wait(waiting: Promise<void>): void {
    this.#behind = waiting;
    void waiting.then(() => {
      if (this.#behind === waiting) this.#behind = undefined;
    });
  }

  async #expecting(write: Promise<number>): Promise<number> {
    try {
      return await write;
    } catch (error) {
      if (!(error instanceof ExpectationError) || !error.current) throw error;
      throw new ExpectationError(error.current.key, await this.#entryOf(error.current));
    }
  }

  #entryOf(entry: Entry): Entry | Promise<Entry> {
    const value = this.#valueOf(entry.key, entry.value);
    return value instanceof Promise ? value.then(each => ({ ...entry, value: each })) : { ...entry, value };
  }

  #eventOf(event: StorageEvent): StorageEvent | Promise<StorageEvent> {
    const value = this.#valueOf(event.key, event.value);
    return value instanceof Promise ? value.then(each => ({ ...event, value: each })) : { ...event, value };
  }

  #valueOf(key: string, { bytes, object }: StoredValue): StoredValue | Promise<StoredValue> {
    const resource = this.#transformers.resourceOf(key);
    if (object instanceof Rider) return { ...object.value, isOutdated: this.#isOutdated(resource, object.writer) };
    const valueOf = ({ bytes: plain, writer }: Read): StoredValue => ({
      bytes: plain,
      isOutdated: this.#isOutdated(resource, writer),
    });
    let read: Read | Promise<Read>;
    try {
      read = this.#transformers.of(resource).read(bytes, key);
    } catch (error) {
      throw unreadable(key, error);
    }
    if (!(read instanceof Promise)) return valueOf(read);
    return read.then(valueOf, (error: unknown) => {
      throw unreadable(key, error);
    });
  }

  /** One function for all values of one writer: whether a write of today would be another's. */
  #isOutdated(resource: string, writer: string): () => boolean {
    const name = `${resource}\n${writer}`;
    let outdated = this.#outdated.get(name);
    if (!outdated) {
      outdated = () => this.#transformers.of(resource).writer !== writer;
      this.#outdated.set(name, outdated);
    }
    return outdated;
  }
}

/** Runs things at once while nothing is waited for, and else one after the other. */
class Turns {
  behind: Promise<void> | undefined;

  take(run: () => void | Promise<void>, failed: (error: unknown) => Promise<void>): Promise<void> | undefined {
    let waiting: Promise<void>;
    if (this.behind) waiting = this.behind.then(run).catch(failed);
    else {
      try {
        const pending = run();
        if (!pending) return undefined;
        waiting = pending.catch(failed);
      } catch (error) {
        waiting = failed(error);
      }
    }
    this.behind = waiting;
    void waiting.then(() => {
      if (this.behind === waiting) this.behind = undefined;
    });
    return waiting;
  }
}

function unreadable(key: string, error: unknown): Error {
  return new Error(
    `unable to transform key ${JSON.stringify(key)}: ${(error as Error).message}; the key that it was encrypted with must be in the file of encryption-provider-config`,
    { cause: error },
  );
}
