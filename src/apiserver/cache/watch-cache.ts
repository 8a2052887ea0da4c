import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { errors } from '#api/machinery/errors.ts';
import { type ApiObject, type Kind, resourceNameOf } from '#api/machinery/kind.ts';
import {
  CompactedError,
  type RangeResult,
  type Storage,
  type StorageEvent,
  StorageUnavailableError,
  type StoredValue,
} from '#storage/storage.ts';
import { CachedObject, revived } from './entry.ts';
import { CacheEvent, ResourceCache } from './resource-cache.ts';

/**
 * Everything the store holds, decoded and encoded once, fed by one watch in revision order. Because every resource hears of
 * every revision, the cache knows that it is as new as a revision even where a resource did not change.
 */
export class WatchCache implements AsyncDisposable {
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #resources = new Map<string, ResourceCache>();
  /** Entries of resources that nobody serves (yet): kept so that a kind that appears later finds them. */
  readonly #unserved = new Map<string, Map<string, StorageEvent>>();
  readonly #abort = new AbortController();
  readonly #listeners = new Set<(resource: ResourceCache, event: CacheEvent) => void>();
  readonly #waiting = new Set<{ readonly revision: number; readonly ready: () => void }>();
  /** For tests: whoever changes a shared object fails at once. */
  readonly #freezes: boolean;
  #revision = 0;
  #ended: Error | undefined;

  constructor(storage: Storage, clock: Clock, log: Log, freezes = false) {
    this.#freezes = freezes;
    this.#storage = storage;
    this.#clock = clock;
    this.#log = log;
  }

  /** The newest revision the cache has seen. */
  get revision(): number {
    return this.#revision;
  }

  /** Why the cache is no longer fed; undefined while it is. */
  get ended(): Error | undefined {
    return this.#ended;
  }

  /** Whether the store answers, and the cache follows it. */
  async isFed(): Promise<boolean> {
    // A store on the other side of a connection may be away while the watch waits for it.
    if (this.isShared) await this.#storage.currentRevision();
    return this.#ended === undefined;
  }

  /** Other servers work on the same store; it lets Events expire by itself. */
  get isShared(): boolean {
    return this.#storage.shared !== undefined;
  }

  /** Reads the store and begins to follow it. The newest changes become history, so that watches survive a restart. */
  async start(kinds: readonly Kind[]): Promise<void> {
    const current = await this.#storage.currentRevision();
    const base = await this.#rangeFrom(Math.max(1, current - limits.watchHistoryEventsMax));
    this.#revision = base.revision;
    for (const kind of kinds) this.serve(kind);
    for (const { key, value, modRevision, createRevision } of base.entries) {
      const [resource, within] = splitKey(key);
      const cache = this.#resources.get(resource);
      const event: StorageEvent = { type: 'put', key, revision: modRevision, value, createRevision };
      if (cache) cache.seed(entryOf(cache.kind, within, event));
      else this.#keepUnserved(resource, event);
    }
    try {
      await this.#follow(base.revision);
    } catch (error) {
      // Compacted meanwhile, or of a time whose keys nobody has any more.
      if (!(error instanceof CompactedError)) throw error;
      await this.#readAnew();
    }
  }

  /** The cache of the resource that the kind is stored as. */
  serve(kind: Kind): ResourceCache {
    const name = resourceNameOf(kind);
    const known = this.#resources.get(name);
    if (known) return known;
    const cache = new ResourceCache(kind, this.#revision);
    this.#resources.set(name, cache);
    for (const event of this.#unserved.get(name)?.values() ?? [])
      cache.seed(entryOf(kind, splitKey(event.key)[1], event));
    this.#unserved.delete(name);
    return cache;
  }

  /** The cache of a resource whose kind may have changed: its objects become what the new kind makes of them. */
  replace(kind: Kind): ResourceCache {
    const cache = this.serve(kind);
    if (cache.kind !== kind) cache.become(kind, this.#revision, entry => revived(kind, entry));
    return cache;
  }

  /** Nobody serves the resource any longer. What is left of its objects waits for somebody who does. */
  unserve(kind: Kind): void {
    const name = resourceNameOf(kind);
    const cache = this.#resources.get(name);
    if (!cache) return;
    this.#resources.delete(name);
    for (const { key, revision, createRevision, stored, isOutdated } of cache.all()) {
      const value = { bytes: stored, ...(isOutdated && { isOutdated }) };
      this.#keepUnserved(name, { type: 'put', key: `${prefix}${name}/${key}`, revision, value, createRevision });
    }
    cache.end();
  }

  resources(): Iterable<[string, ResourceCache]> {
    return this.#resources;
  }

  /** Calls back with every change, after the cache has it. */
  listen(listener: (resource: ResourceCache, event: CacheEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the cache is at least as new as the store was when asked. */
  async catchUp(): Promise<void> {
    const current = await reached(this.#storage.currentRevision());
    if (current > this.#revision) await this.waitFor(current);
  }

  /** Resolves when the cache is at least as new as a revision; upstream gives up after 3 seconds. */
  async waitFor(revision: number): Promise<void> {
    if (revision <= this.#revision) return;
    if (this.#ended) throw errors.serviceUnavailable('the store cannot be reached');
    this.#storage.shared?.awaited(revision);
    await new Promise<void>((resolve, reject) => {
      const waiting = {
        revision,
        ready: () => {
          cancel();
          this.#waiting.delete(waiting);
          resolve();
        },
      };
      const cancel = this.#clock.after(waitMsMax, () => {
        this.#waiting.delete(waiting);
        reject(errors.tooLargeResourceVersion(String(revision), String(this.#revision)));
      });
      this.#waiting.add(waiting);
    });
  }

  /** Forgets history up to a revision in the store, where it is only needed after a restart. Not where others need it. */
  async trim(revision: number): Promise<void> {
    if (!this.isShared) await this.#storage.compact(revision);
  }

  /** Forgets history up to a revision in the store and here: continue tokens and watches from before it end. */
  async compact(revision: number): Promise<void> {
    await (this.#storage.shared?.compactInTurn(revision) ?? this.#storage.compact(revision));
    for (const cache of this.#resources.values()) cache.forget(revision);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('the API server was closed'));
    for (const cache of this.#resources.values()) cache.end();
  }

  async #rangeFrom(revision: number): Promise<RangeResult> {
    for (let from = revision; ; ) {
      try {
        return await this.#storage.range(prefix, { revision: from });
      } catch (error) {
        if (!(error instanceof CompactedError)) throw error;
        from = error.compactRevision;
      }
    }
  }

  #follow(revision: number): Promise<void> {
    return this.#storage.watch(
      prefix,
      revision,
      {
        onEvents: events => this.#apply(events),
        onProgress: reachedRevision => this.#advance(reachedRevision),
        onEnd: error => this.#end(error),
      },
      this.#abort.signal,
    );
  }

  #apply(events: readonly StorageEvent[]): void {
    for (const event of events) {
      const [resource, within] = splitKey(event.key);
      const cache = this.#resources.get(resource);
      this.#revision = event.revision;
      if (cache) this.#applyTo(cache, within, event);
      else this.#keepUnserved(resource, event);
    }
    this.#advance(this.#revision);
  }

  #advance(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    for (const waiting of this.#waiting) if (waiting.revision <= this.#revision) waiting.ready();
  }

  #applyTo(cache: ResourceCache, key: string, event: StorageEvent): void {
    const previous = cache.get(key);
    const deleted = event.type === 'delete';
    const entry = deleted
      ? (previous ?? entryOf(cache.kind, key, event)).deletedAt(event.revision)
      : entryOf(cache.kind, key, event);
    if (this.#freezes) deepFreeze(entry.object);
    const change = new CacheEvent(event.revision, entry, previous, deleted);
    cache.apply(change);
    for (const listener of this.#listeners) listener(cache, change);
  }

  #keepUnserved(resource: string, event: StorageEvent): void {
    let events = this.#unserved.get(resource);
    if (!events) this.#unserved.set(resource, (events = new Map()));
    if (event.type === 'delete') events.delete(event.key);
    else events.set(event.key, event);
  }

  #end(error: Error): void {
    this.#ended = error;
    this.#log.error('the watch on the store broke', { error });
    for (const cache of this.#resources.values()) cache.end();
    if (error instanceof CompactedError) void this.#startOver();
  }

  /**
   * What happened since the watch broke is forgotten by the store: what is there now is held against what was. Watches have
   * ended, and begin anew from here.
   */
  async #startOver(): Promise<void> {
    const backoff = exponentialBackoff({ initialMs: 100, maxMs: 5_000 });
    while (!this.#abort.signal.aborted) {
      try {
        await this.#readAnew();
        this.#ended = undefined;
        return;
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#log.error('cannot read the store anew', { error });
        await this.#clock.sleep(backoff.next(), this.#abort.signal).catch(() => undefined);
      }
    }
  }

  async #readAnew(): Promise<void> {
    const now = await this.#storage.range(prefix);
    // Who has begun to watch meanwhile would hear of what is different, and not of every change.
    for (const cache of this.#resources.values()) cache.end();
    this.#apply(this.#differences(now));
    this.#advance(now.revision);
    for (const cache of this.#resources.values()) cache.forget(now.revision);
    await this.#follow(now.revision);
  }

  /** One event for every entry that is otherwise than it was, in revision order. */
  #differences({ entries, revision }: RangeResult): readonly StorageEvent[] {
    const events: StorageEvent[] = [];
    const there = new Set<string>();
    for (const { key, value, modRevision, createRevision } of entries) {
      there.add(key);
      const [resource, within] = splitKey(key);
      const cache = this.#resources.get(resource);
      const known = cache ? cache.get(within)?.revision : this.#unserved.get(resource)?.get(key)?.revision;
      if (known !== modRevision) events.push({ type: 'put', key, revision: modRevision, value, createRevision });
    }
    const gone = (key: string, value: StoredValue, createRevision: number) => {
      if (!there.has(key)) events.push({ type: 'delete', key, revision, value, createRevision });
    };
    for (const [name, cache] of this.#resources)
      for (const { key, item, createRevision } of cache.all())
        gone(`${prefix}${name}/${key}`, { bytes: item }, createRevision);
    for (const unserved of this.#unserved.values())
      for (const { key, value, createRevision } of unserved.values()) gone(key, value, createRevision);
    return events.sort((a, b) => a.revision - b.revision);
  }
}

/** What a client is told when the store does not answer. */
export async function reached<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof StorageUnavailableError)) throw error;
    throw error.isOutcomeUnknown
      ? errors.timeout(`request did not complete within requested timeout - ${error.message}`)
      : errors.serviceUnavailable(error.message);
  }
}

/** Where every object lives in the store. */
export const prefix = '/registry/';
const waitMsMax = 3_000;

/** The key of an object in the store: `/registry/deployments.apps/default/web`. */
export function storageKey(kind: Kind, key: string): string {
  return `${prefix}${resourceNameOf(kind)}/${key}`;
}

function splitKey(key: string): [resource: string, within: string] {
  const slash = key.indexOf('/', prefix.length);
  return [key.slice(prefix.length, slash), key.slice(slash + 1)];
}

function entryOf(kind: Kind, key: string, { value, revision, createRevision }: StorageEvent): CachedObject {
  const { bytes, object, isOutdated } = value;
  const own = object as ApiObject | undefined;
  const entry = new CachedObject(kind, key, bytes, revision, createRevision, own, undefined, isOutdated);
  // What this process wrote just now is as the schema wants it.
  return kind.revive && object === undefined ? revived(kind, entry) : entry;
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const member of Object.values(value)) deepFreeze(member);
}
