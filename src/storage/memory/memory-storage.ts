import { writeFile } from 'node:fs/promises';
import { serialize } from 'node:v8';
import {
  CompactedError,
  type Entry,
  ExpectationError,
  type Expected,
  FutureRevisionError,
  type RangeOptions,
  type RangeResult,
  type Storage,
  type StorageEvent,
  type StoredValue,
  type Watcher,
} from '../storage.ts';
import { SortedMap } from '#base/sorted-map.ts';
import { Watchers } from '../watchers.ts';

/** Keeps everything in this process, for tests, embedding and simulation. Nothing outlives it. */
export function openMemoryStorage(): Storage {
  return new MemoryStorage();
}

/** A change with what it replaced, so that older revisions can be read by undoing the newer ones. */
interface Change {
  readonly event: StorageEvent;
  readonly previous: Entry | undefined;
}

class MemoryStorage implements Storage {
  #revision = 1;
  /** Everything up to here is forgotten; the first change in `#log` is the one after. */
  #compacted = 1;
  #log: Change[] = [];
  readonly #current = new SortedMap<Entry>();
  readonly #watchers = new Watchers();

  currentRevision(): Promise<number> {
    return Promise.resolve(this.#revision);
  }

  async get(key: string, { revision }: { readonly revision?: number } = {}): Promise<Entry | undefined> {
    if (revision === undefined || revision === this.#revision) return this.#current.get(key);
    this.#check(revision);
    let entry = this.#current.get(key);
    for (const { event, previous } of this.#newestFirst(revision)) if (event.key === key) entry = previous;
    return entry;
  }

  async range(prefix: string, { revision, start, limit }: RangeOptions = {}): Promise<RangeResult> {
    const as = revision ?? this.#revision;
    this.#check(as);
    const entries = [...this.#asOf(as, prefix)].filter(entry => start === undefined || entry.key >= start);
    const taken = limit === undefined ? entries : entries.slice(0, limit);
    return { entries: taken, revision: as, remaining: entries.length - taken.length };
  }

  async put(key: string, value: StoredValue, expected: Expected): Promise<number> {
    const previous = this.#expect(key, expected);
    const revision = ++this.#revision;
    const createRevision = previous?.createRevision ?? revision;
    // The decoded object is for the watchers of this moment; keeping it would keep every version alive.
    const kept = { bytes: value.bytes };
    this.#current.set(key, { key, value: kept, createRevision, modRevision: revision });
    const event: StorageEvent = { type: 'put', key, revision, value: kept, createRevision };
    this.#record({ event, previous }, { ...event, value });
    return revision;
  }

  async delete(key: string, expected: Expected): Promise<number> {
    const previous = this.#expect(key, expected);
    if (!previous) throw new ExpectationError(key, undefined);
    const revision = ++this.#revision;
    this.#current.delete(key);
    const { value, createRevision } = previous;
    const event: StorageEvent = { type: 'delete', key, revision, value, createRevision };
    this.#record({ event, previous }, event);
    return revision;
  }

  async watch(prefix: string, afterRevision: number, watcher: Watcher, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw signal.reason as Error;
    if (afterRevision < this.#compacted) throw new CompactedError(afterRevision, this.#compacted);
    const missed: StorageEvent[] = [];
    for (let at = afterRevision - this.#compacted; at < this.#log.length; at++) {
      const { event } = this.#log[at] as Change;
      if (event.key.startsWith(prefix)) missed.push(event);
    }
    if (missed.length > 0) watcher.onEvents(missed);
    this.#watchers.add(prefix, watcher, signal, afterRevision);
  }

  async compact(revision: number): Promise<void> {
    if (revision <= this.#compacted) return;
    if (revision > this.#revision) throw new FutureRevisionError(revision, this.#revision);
    this.#log = this.#log.slice(revision - this.#compacted);
    this.#compacted = revision;
  }

  async snapshot(file: string): Promise<void> {
    const entries = [...this.#current.values()].map(({ key, value, createRevision, modRevision }) => ({
      key,
      bytes: value.bytes,
      createRevision,
      modRevision,
    }));
    await writeFile(file, serialize({ revision: this.#revision, entries }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watchers.clear();
  }

  #expect(key: string, expected: Expected): Entry | undefined {
    const current = this.#current.get(key);
    const met = expected === 'any' || (expected === 'absent' ? !current : current?.modRevision === expected);
    if (!met) throw new ExpectationError(key, current);
    return current;
  }

  #record(change: Change, live: StorageEvent): void {
    this.#log.push(change);
    this.#watchers.deliver([live]);
  }

  #check(revision: number): void {
    if (revision > this.#revision) throw new FutureRevisionError(revision, this.#revision);
    if (revision < this.#compacted) throw new CompactedError(revision, this.#compacted);
  }

  *#newestFirst(downTo: number): Generator<Change> {
    for (let at = this.#log.length - 1; at >= downTo - this.#compacted; at--) yield this.#log[at] as Change;
  }

  /** The current entries with everything newer than the revision undone. */
  #asOf(revision: number, prefix: string): Iterable<Entry> {
    if (revision === this.#revision) return this.#current.prefixed(prefix);
    const undone = new SortedMap<Entry>();
    for (const entry of this.#current.prefixed(prefix)) undone.set(entry.key, entry);
    for (const { event, previous } of this.#newestFirst(revision)) {
      if (!event.key.startsWith(prefix)) continue;
      if (previous) undone.set(event.key, previous);
      else undone.delete(event.key);
    }
    return undone.values();
  }
}
